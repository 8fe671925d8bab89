// SPDX-License-Identifier: Apache-2.0
// What the two ways to count share: by bit planes (count_planes.h), or pair by pair (count_pairs.h).
#pragma once

#include <mutex>

#include "level.h"
#include "scan.h"

namespace fasthash::cpu {

constexpr int64_t kSharing = 256;  // queries that share the making of planes, so that it costs little
constexpr int64_t kChunkBits = 3 * kChunkTriples;
constexpr int64_t kRangeChunks = 2;  // of sums at a time: they stay in the L1 cache

enum class Channels { kOne, kRelevance, kOverlap };

// What a call counts. The result is (queries.rows, bits + 1, width), for all tasks, which add to it under a mutex:
// parts of the database share its rows.
struct Plan {
  Plan(Codes queries, Codes database, const Labels* labels, Channels channels, int64_t width, Filter filter)
      : queries(queries),
        database(database),
        labels(labels),
        channels(channels),
        width(width),
        filter(filter),
        bits(8 * queries.bytes),
        chunks((bits + kChunkBits - 1) / kChunkBits),
        ranges((chunks + kRangeChunks - 1) / kRangeChunks),
        stride(bits / 8 + 1),
        planes(kLeastPlanes) {
    while (bits >> planes != 0) ++planes;
  }

  Codes queries, database;
  const Labels* labels;
  Channels channels;
  int64_t width;  // channels of the result
  Filter filter;
  int64_t bits, chunks, ranges;
  int64_t stride;  // counters of a channel
  int planes;      // of a distance
};

}  // namespace fasthash::cpu
