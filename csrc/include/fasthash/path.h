// Which of the ways to the same results a search on CUDA takes.
#pragma once

#include "fasthash/types.h"

namespace fasthash::cuda {

// How hamming_topk searches. All of them give the same bytes.
enum class Path {
  kAuto,      // what `choose_path` says
  kPlaced,    // count by distance, then write each result to its place: two scans by popcount, any k
  kPopcount,  // one scan by popcount within a bound from a sample
  kTensor,    // one scan on the b1 tensor cores within such bounds; codes of up to 128 bytes, sm_80 to sm_90
};

// What kAuto stands for, from nothing but the device's compute capability (major) and the sizes.
Path choose_path(int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k);

// For tests and benchmarks: from now on, for the whole process; a path that a call cannot take is replaced by kAuto's.
void set_path(Path path);
Path path();

// Where in the workspace of hamming_topk, in bytes, a call on this path leaves one int32 for each query of the last group
// of queries: 1 = its one scan was enough, 0 = the query was searched again in two. -1: the path has no such flags.
int64_t topk_answered(int64_t queries, int64_t database, int64_t bytes, int64_t k);

}  // namespace fasthash::cuda
