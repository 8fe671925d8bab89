// SPDX-License-Identifier: Apache-2.0
// Selection in two passes, for any k and any radius: count, then write every result to its place.
#pragma once

#include "table.cuh"

namespace fasthash::cuda {

// A table of all distances.
TablePlan plan_topk(int64_t queries, int64_t database, int64_t bytes);

// The nearest `k` codes of each query, of those that have a bin in the plan; counts, where not null, of all of those.
// `answered`, where not null, is one flag a query, in device memory: the results of these stay as they are.
void search_by_counting(const char* op, const TablePlan& plan, Codes queries, Codes database, int64_t k, Filter filter,
                        const int32_t* answered, int64_t* counts, int32_t* distances, int64_t* indices, void* workspace,
                        StreamHandle stream);

}  // namespace fasthash::cuda
