// SPDX-License-Identifier: Apache-2.0
// What every kernel family shares: views of the caller's memory. No torch, no Python, no CUDA header.
#pragma once

#include <cstdint>
#include <limits>

namespace fasthash {

// Packed codes: `rows` contiguous rows of `bytes` bytes each; most significant bit first, spare bits zero.
struct Codes {
  const uint8_t* data;
  int64_t rows;
  int64_t bytes;
};

// Which database rows a query may meet. Both pointers may be null.
struct Filter {
  const uint8_t* mask;     // one byte a database row, 0 = neither returned nor counted
  const int64_t* exclude;  // one database row a query to leave out, -1 = none
};

// Labels of queries and database. Either class ids (-1 = none) or packed label sets, the other pair is null.
struct Labels {
  const int64_t* query_ids;
  const int64_t* database_ids;
  const uint8_t* query_sets;
  const uint8_t* database_sets;
  int64_t set_bytes;
};

// What a top-k place without a code holds.
inline constexpr int32_t kNoDistance = std::numeric_limits<int32_t>::max();
inline constexpr int64_t kNoIndex = -1;

// Distances are counted in 16 bits: codes of up to 8,191 bytes (65,528 bits).
inline constexpr int64_t kMaxBytes = 8191;

namespace cuda {
// A cudaStream_t as a number, so that this header needs no CUDA.
using StreamHandle = uintptr_t;
}  // namespace cuda

}  // namespace fasthash
