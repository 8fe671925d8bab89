// SPDX-License-Identifier: Apache-2.0
// Counting by bit planes: queries meet the database slice by slice, and each adds up its distances and counts them
// without looking at a single code.
#pragma once

#include <algorithm>
#include <vector>

#include "counting.h"
#include "slices.h"

namespace fasthash::cpu {

// One task: its queries against its part of the database.
class PlaneCounting {
 public:
  PlaneCounting(const Level& level, const Plan& plan, const Task& task)
      : level_(level),
        plan_(plan),
        task_(task),
        own_(plan.labels, task.first, task.last),
        slices_(level, plan.database, plan.chunks * kChunkBits, plan.labels, own_, plan.filter.mask, task.begin,
                task.end),
        sums_(static_cast<size_t>(kRangeChunks * kChunkTriples * kSumPlanes)) {
    place_sums(query_words(plan.queries, task.first, task.last));
  }

  void run(int64_t* out, std::mutex& adding) {
    while (slices_.next()) {
      for (int64_t first = task_.first; first < task_.last;) {
        const int64_t last = make_room(first);
        for (int64_t slice = 0; slice < slices_.size(); ++slice) count(slice, first, last);
        const std::lock_guard lock(adding);
        for (int64_t query = first; query < last; ++query) drain(query, first, out);
        first = last;
      }
    }
  }

 private:
  static constexpr int64_t kTogether = 4;          // queries that a level is asked for in one go
  static constexpr int64_t kBatchBytes = 4 << 20;  // of what is counted at a time, unless one query alone needs more

  struct Run {
    int64_t begin, end;
  };

  int64_t channels_of(int64_t query) const {
    return plan_.channels == Channels::kOne ? 1 : plan_.channels == Channels::kRelevance ? 2 : own_.count(query) + 1;
  }
  Counters* counters_of(int64_t query, int64_t first) {
    return &counters_[static_cast<size_t>(begins_[static_cast<size_t>(query - first)])];
  }

  // Which sums each query reads: see make_sums.
  void place_sums(const std::vector<uint64_t>& rows) {
    const int64_t triples = plan_.chunks * kChunkTriples, words = words_of(plan_.queries.bytes);
    places_.reserve(static_cast<size_t>((task_.last - task_.first) * triples * 2));
    for (int64_t query = 0; query < task_.last - task_.first; ++query) {
      const uint64_t* row = &rows[static_cast<size_t>(query * words)];
      for (int64_t triple = 0; triple < triples; ++triple) {
        int64_t inverted = 0;
        for (int64_t i = 0; i < 3; ++i) {
          const int64_t bit = 3 * triple + i;
          if (bit < plan_.bits) inverted |= static_cast<int64_t>(row[bit / 64] >> bit % 64 & 1) << i;
        }
        const int64_t sums = triple % (kRangeChunks * kChunkTriples) * kSumPlanes;
        const int64_t low = sums + __builtin_parityll(static_cast<uint64_t>(inverted)), high = sums + 2 + inverted;
        places_.push_back(static_cast<uint16_t>(low * static_cast<int64_t>(sizeof(Plane))));
        places_.push_back(static_cast<uint16_t>(high * static_cast<int64_t>(sizeof(Plane))));
      }
    }
  }

  // Counters, all zero, for the queries from `first` to the one returned, which is the first that found no room.
  int64_t make_room(int64_t first) {
    constexpr int64_t kMost = kBatchBytes / static_cast<int64_t>(sizeof(Counters));
    int64_t counters = 0, last = first;
    begins_.clear();
    runs_.clear();
    for (; last < task_.last && last < first + kSharing; ++last) {
      const int64_t needed = channels_of(last) * plan_.stride;
      if (last > first && counters + needed > kMost) break;
      begins_.push_back(counters);
      counters += needed;
      most_masks_ = std::max(most_masks_, channels_of(last));
      if (plan_.labels == nullptr || plan_.labels->query_ids == nullptr) continue;
      const uint32_t number = own_.count(last) > 0 ? *own_.of(last) : own_.classes();
      runs_.push_back({slices_.begin_of(number), slices_.begin_of(number + 1)});
    }
    if (static_cast<size_t>(counters) > counters_.size()) counters_.resize(static_cast<size_t>(counters));
    masks_.resize(static_cast<size_t>(kTogether * most_masks_));
    channels_.resize(static_cast<size_t>(kTogether * most_masks_));
    distances_.resize(static_cast<size_t>(plan_.planes * (plan_.ranges > 1 ? last - first : kTogether)));
    return last;
  }

  void count(int64_t slice, int64_t first, int64_t last) {
    Plane valid{};
    set_bits(valid, 0, slices_.codes(slice));
    for (int64_t range = 0; range < plan_.ranges; ++range) {
      const int64_t chunk = range * kRangeChunks;
      const int64_t chunks = std::min(kRangeChunks, plan_.chunks - chunk);
      level_.make_sums(slices_.planes(slice) + chunk * kChunkBits, chunks * kChunkTriples, sums_.data());
      for (int64_t query = first; query < last; query += kTogether) {
        const auto some = static_cast<int>(std::min(kTogether, last - query));
        Plane* distances = &distances_[static_cast<size_t>(plan_.ranges > 1 ? (query - first) * plan_.planes : 0)];
        const int64_t place = ((query - task_.first) * plan_.chunks + chunk) * 2 * kChunkTriples;
        level_.add_distances(sums_.data(), &places_[static_cast<size_t>(place)], plan_.chunks * 2 * kChunkTriples, some,
                             static_cast<int>(chunks), range == 0, plan_.planes, distances);
        if (range + 1 < plan_.ranges) continue;
        for (int i = 0; i < some; ++i) share(slice, query + i, valid, i, first);
        level_.tally(distances, plan_.planes, shares_, some, plan_.stride);
      }
    }
  }

  // What a query counts of a slice, as the i-th of some.
  void share(int64_t slice, int64_t query, const Plane& valid, int i, int64_t first) {
    const auto place = static_cast<size_t>(i * most_masks_);
    Plane* masks = &masks_[place];
    uint32_t* channels = &channels_[place];
    Share& share = shares_[i];
    share.masks = &valid;
    share.channels = channels;
    share.count = 1;
    share.counters = counters_of(query, first);
    channels[0] = 0;
    if (plan_.channels == Channels::kOne || own_.count(query) == 0) return;
    if (plan_.labels->query_ids == nullptr) {
      const auto split = plan_.channels == Channels::kRelevance ? level_.split_by_relevance : level_.split_by_overlap;
      share.masks = masks;
      share.count = split(slices_.labels(slice), own_.of(query), own_.count(query), valid, masks, channels);
      return;
    }
    const Run& run = runs_[static_cast<size_t>(query - first)];
    const int64_t codes = slices_.codes(slice);
    const int64_t begin = std::clamp<int64_t>(run.begin - slice * kSliceCodes, 0, codes);
    const int64_t end = std::clamp<int64_t>(run.end - slice * kSliceCodes, 0, codes);
    channels[0] = begin < end;
    if (begin == end || end - begin == codes) return;
    masks[0] = valid;
    masks[1] = Plane{};
    set_bits(masks[1], begin, end);
    for (int w = 0; w < kPlaneWords; ++w) masks[0].words[w] ^= masks[1].words[w];
    channels[0] = 0;
    channels[1] = 1;
    share.masks = masks;
    share.count = 2;
  }

  static void set_bits(Plane& plane, int64_t begin, int64_t end) {
    for (int64_t bit = begin; bit < end;) {
      const int64_t some = std::min(end - bit, 64 - bit % 64);
      plane.words[bit / 64] |= ~uint64_t{0} >> (64 - some) << bit % 64;
      bit += some;
    }
  }

  // Moves what a query counted to its row of the result.
  void drain(int64_t query, int64_t first, int64_t* out) {
    Counters* counters = counters_of(query, first);
    int64_t* row = out + query * (plan_.bits + 1) * plan_.width;
    for (int64_t channel = 0; channel < channels_of(query); ++channel) {
      for (int64_t i = 0; i < plan_.stride; ++i, ++counters) {
        drain(*counters, std::min<int64_t>(8, plan_.bits + 1 - 8 * i), row + 8 * i * plan_.width + channel);
      }
    }
  }

  // The first `bins` of eight, plan_.width places apart.
  void drain(Counters& counters, int64_t bins, int64_t* out) const {
    uint64_t sums[2] = {};  // no field runs over: see Counters
    for (const uint64_t word : counters.words[0]) sums[0] += word;
    if (sums[0] == 0) return;
    for (const uint64_t word : counters.words[1]) sums[1] += word;
    for (auto& half : counters.words) std::fill(half, half + kLanes, 0);
    int64_t counts[8];
    for (int i = 0; i < 8; ++i) counts[i] = static_cast<int64_t>(sums[i / 4] >> 16 * (i % 4) & 0xFFFF);
    // From "at least these bits" to "just these".
    for (int bit = 1; bit < 8; bit *= 2) {
      for (int i = 0; i < 8; ++i) {
        if ((i & bit) == 0) counts[i] -= counts[i | bit];
      }
    }
    for (int64_t i = 0; i < bins; ++i) out[i * plan_.width] += counts[i];
  }

  const Level& level_;
  const Plan& plan_;
  Task task_;
  OwnLabels own_;
  Slices slices_;
  std::vector<uint16_t> places_;
  std::vector<Plane> sums_, distances_, masks_;
  std::vector<uint32_t> channels_;
  int64_t most_masks_ = 2;
  std::vector<Run> runs_;  // of the codes of each query's class
  Share shares_[kTogether];
  std::vector<Counters> counters_;
  std::vector<int64_t> begins_;  // of each query's counters
};

}  // namespace fasthash::cpu
