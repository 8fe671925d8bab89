// SPDX-License-Identifier: Apache-2.0
#include "candidates.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    gather_kernel(Codes database, const uint8_t* mask, int64_t step, int64_t rows, int unit, uint8_t* codes,
                  uint8_t* sampled_mask) {
  const int64_t units = database.bytes / unit;
  const int64_t grid_threads = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < rows * units; i += grid_threads) {
    const int64_t row = i / units;
    const int64_t from = row * step * database.bytes + i % units * unit;
    const int64_t to = row * database.bytes + i % units * unit;
    if (unit == 16) {
      *reinterpret_cast<Words<4>*>(codes + to) = *reinterpret_cast<const Words<4>*>(database.data + from);
    } else if (unit == 8) {
      *reinterpret_cast<Words<2>*>(codes + to) = *reinterpret_cast<const Words<2>*>(database.data + from);
    } else if (unit == 4) {
      *reinterpret_cast<Words<1>*>(codes + to) = *reinterpret_cast<const Words<1>*>(database.data + from);
    } else {
      codes[to] = database.data[from];
    }
    if (mask != nullptr && i % units == 0) sampled_mask[row] = mask[row * step];
  }
}

__global__ void __launch_bounds__(kThreads)
    begin_kernel(Candidates candidates, int64_t queries, const int32_t* distances, const int64_t* indices, int64_t rank,
                 int64_t step) {
  const int64_t grid_threads = int64_t{gridDim.x} * blockDim.x;
  for (int64_t query = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; query < queries; query += grid_threads) {
    const int64_t last = query * rank + rank - 1;
    candidates.counts[query] = 0;
    candidates.answered[query] = 0;
    candidates.bounds[query] = indices[last] == kNoIndex ? kNoBound : key_of(distances[last], indices[last] * step);
  }
}

// Sorts `padded` keys, a power of two, by all threads of the block.
__device__ void sort(uint64_t* keys, int padded) {
  for (int size = 2; size <= padded; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < padded / 2; i += blockDim.x) {
        const int low = 2 * i - (i & (stride - 1));
        const int high = low + stride;
        const uint64_t a = keys[low];
        const uint64_t b = keys[high];
        const bool rising = (low & size) == 0;
        if ((a > b) == rising) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

// The list of a query, in order, in shared memory. Returns its length, or, when it did not hold all, -1.
__device__ int ordered_list(const Candidates& candidates, int64_t query, uint64_t* keys) {
  const unsigned long long count = candidates.counts[query];
  if (count > static_cast<unsigned long long>(candidates.capacity)) return -1;
  const int length = static_cast<int>(count);
  int padded = 2;
  while (padded < length) padded *= 2;
  for (int i = threadIdx.x; i < padded; i += blockDim.x) {
    keys[i] = i < length ? candidates.keys[query * candidates.capacity + i] : kNoBound;
  }
  sort(keys, padded);
  return length;
}

__global__ void __launch_bounds__(kThreads) tighten_kernel(Candidates candidates, int64_t queries, int64_t rank) {
  uint64_t* keys = dynamic_shared<uint64_t>();
  for (int64_t query = blockIdx.x; query < queries; query += gridDim.x) {
    const int length = ordered_list(candidates, query, keys);
    if (length < 0) {
      if (threadIdx.x == 0) candidates.bounds[query] = 0;  // lost: what follows need not fill it further
    } else if (length >= rank) {
      for (int i = threadIdx.x; i < rank; i += blockDim.x) candidates.keys[query * candidates.capacity + i] = keys[i];
      __syncthreads();  // all have read the length and the keys
      if (threadIdx.x == 0) {
        candidates.counts[query] = static_cast<unsigned long long>(rank);
        candidates.bounds[query] = keys[rank - 1];
      }
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads)
    write_kernel(Candidates candidates, int64_t queries, int64_t k, int32_t* distances, int64_t* indices) {
  uint64_t* keys = dynamic_shared<uint64_t>();
  for (int64_t query = blockIdx.x; query < queries; query += gridDim.x) {
    const int length = ordered_list(candidates, query, keys);
    if (length >= k || (length >= 0 && candidates.bounds[query] == kNoBound)) {
      for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
        const bool found = i < length;
        distances[query * k + i] = found ? distance_of(keys[i]) : kNoDistance;
        indices[query * k + i] = found ? row_of(keys[i]) : kNoIndex;
      }
      if (threadIdx.x == 0) candidates.answered[query] = 1;
    }
    __syncthreads();
  }
}

// A block for each list, with room for it in shared memory.
template <class... Params>
void launch_by_list(const char* op, void (*kernel)(Params...), const Candidates& candidates, int64_t queries,
                    StreamHandle stream, typename Exactly<Params>::type... args) {
  const size_t bytes = static_cast<size_t>(candidates.capacity) * sizeof(uint64_t);
  if (bytes > kSharedBytes) allow_shared(op, kernel, bytes);
  launch(op, kernel, queries, kThreads, bytes, stream, args...);
}

}  // namespace

void gather_sample(const char* op, Codes database, const uint8_t* mask, int64_t step, int64_t rows, uint8_t* codes,
                   uint8_t* sampled_mask, StreamHandle stream) {
  const int unit = rows_of(database.data, database.rows, database.bytes).unit;
  launch(op, gather_kernel, ceil_div(rows * (database.bytes / unit), kThreads), kThreads, 0, stream, database, mask,
         step, rows, unit, codes, sampled_mask);
}

void begin_lists(const char* op, const Candidates& candidates, int64_t queries, const int32_t* distances,
                 const int64_t* indices, int64_t rank, int64_t step, StreamHandle stream) {
  launch(op, begin_kernel, ceil_div(queries, kThreads), kThreads, 0, stream, candidates, queries, distances, indices,
         rank, step);
}

void tighten(const char* op, const Candidates& candidates, int64_t queries, int64_t rank, StreamHandle stream) {
  launch_by_list(op, tighten_kernel, candidates, queries, stream, candidates, queries, rank);
}

void write_lists(const char* op, const Candidates& candidates, int64_t queries, int64_t k, int32_t* distances,
                 int64_t* indices, StreamHandle stream) {
  launch_by_list(op, write_kernel, candidates, queries, stream, candidates, queries, k, distances, indices);
}

}  // namespace fasthash::cuda
