// SPDX-License-Identifier: Apache-2.0
// Counts by distance, without a query x database matrix: what evaluation is made of.
#pragma once

#include "fasthash/types.h"

namespace fasthash {

namespace cpu {
// out (queries.rows, D + 1), D = 8 * bytes: codes at each distance.
void hamming_histogram(Codes queries, Codes database, Filter filter, int64_t* out, int threads);
// out (queries.rows, D + 1, 2): [all, relevant]; relevant = a shared label.
void relevance_histogram(Codes queries, Codes database, Labels labels, Filter filter, int64_t* out, int threads);
// out (queries.rows, D + 1, classes + 1): codes by distance and number of shared labels. classes: those of a label set,
// ceil(classes / 8) bytes each; 1 with class ids.
void overlap_histogram(Codes queries, Codes database, Labels labels, int64_t classes, Filter filter, int64_t* out,
                       int threads);
// Over the first `window` ranks of each query in (distance, index) order, relevant items only:
// precision_sum (q,) = sum of (relevant so far / rank), hits (q,) = their number; relevant (q,) = all of the
// database.
void average_precision_counts(Codes queries, Codes database, Labels labels, Filter filter, int64_t window,
                              double* precision_sum, int64_t* hits, int64_t* relevant, int threads);
}  // namespace cpu

namespace cuda {
void hamming_histogram(Codes queries, Codes database, Filter filter, int64_t* out, StreamHandle stream);
void relevance_histogram(Codes queries, Codes database, Labels labels, Filter filter, int64_t* out,
                         StreamHandle stream);
void overlap_histogram(Codes queries, Codes database, Labels labels, int64_t classes, Filter filter, int64_t* out,
                       StreamHandle stream);
int64_t average_precision_workspace(int64_t queries, int64_t database, int64_t bytes);
void average_precision_counts(Codes queries, Codes database, Labels labels, Filter filter, int64_t window,
                              double* precision_sum, int64_t* hits, int64_t* relevant, void* workspace,
                              int64_t workspace_bytes, StreamHandle stream);
}  // namespace cuda

}  // namespace fasthash
