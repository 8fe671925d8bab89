// SPDX-License-Identifier: Apache-2.0
// How the k nearest are found in one scan: the numbers behind the lists of candidates, and the search that may follow.
#pragma once

#include "candidates.cuh"
#include "fasthash/path.h"

namespace fasthash::cuda {

// A bound is the key of rank `slack(k * share)` of the rows seen so far, which are that share of the database: the mean
// of how many of the k nearest are among them, and four deviations and a few more, so that a bound too low is rare.
struct ListPlan {
  int64_t group;     // queries at a time; 0: these sizes are not for lists
  int64_t capacity;  // keys of a list, a power of two
  int64_t step;      // every step-th row is in the sample
  int64_t sample_rows;
  int64_t sample_rank;  // of the sample, for the first bound
  int64_t few_rank;     // of the few rows, for the second: where there are two scans
};

// For lists that the sample alone bounds, or, with `two_scans`, a first scan over one row in kShare as well.
ListPlan plan_lists(int64_t queries, int64_t database, int64_t k, bool two_scans);

}  // namespace fasthash::cuda
