// SPDX-License-Identifier: Apache-2.0
// Which of the ways to the same results a search on CUDA takes.
#pragma once

#include <string>

#include "fasthash/types.h"

namespace fasthash::cuda {

// All of them give the same bytes.
enum class Path {
  kCounting,  // top-k: count by distance, then write each result to its place; two scans by popcount, any k
  kPopcount,  // top-k: one scan by popcount within a bound from a sample
  kTensor,    // top-k: one scan on the b1 tensor cores within such bounds; codes of up to 128 bytes, sm_80 to sm_90
  kAuto,      // what `choose_path` says
};

// What kAuto stands for in hamming_topk, from nothing but the major compute capability of the device and the sizes.
Path choose_path(int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k);
// The same for hamming_distance and label_overlap: kPopcount or kTensor.
Path choose_matrix_path(int capability, int64_t a_rows, int64_t b_rows, int64_t bytes);

// The path that a call takes on the current device: what set_path asks for, where that is possible, else the choice.
Path topk_path(int64_t queries, int64_t database, int64_t bytes, int64_t k);
Path matrix_path(int64_t a_rows, int64_t b_rows, int64_t bytes);

// For tests and benchmarks: "auto", "counting", "popcount" or "tensor", from now on, for the whole process; at start,
// FASTHASH_CUDA_PATH. Calls that cannot take that path go on as with "auto". Throws std::invalid_argument.
void set_path(const std::string& name);
Path path();
const char* name_of(Path path);

// Where in the workspace of hamming_topk, in bytes, a call on this path leaves one int32 for each query of the last
// group of queries: 1 = its one scan was enough, 0 = the query was searched again in two. -1: the path has no such
// flags.
int64_t topk_answered(int64_t queries, int64_t database, int64_t bytes, int64_t k);

}  // namespace fasthash::cuda
