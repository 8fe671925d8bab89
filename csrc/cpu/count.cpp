// SPDX-License-Identifier: Apache-2.0
// Histograms by distance. Queries meet the database slice by slice, as bit planes: each adds up its distances and
// counts them without looking at a single code.
#include "fasthash/count.h"

#include <algorithm>
#include <mutex>

#include "count_pairs.h"
#include "count_planes.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kPlaceBytes = 8 << 20;  // of what a task knows of its queries
constexpr int64_t kLeastCodes = 1 << 14;  // a smaller part is counted sooner than handed out

// Whether so few queries share planes that the making costs more than it saves: measured, with 500,000 codes of 16 to
// 1,024 bits. By class ids a slice is put in order first.
bool few(const Plan& plan, int64_t queries) {
  const bool by_class = plan.labels != nullptr && plan.labels->query_ids != nullptr;
  return queries < plan.bits / 64 + (by_class ? 10 : 1);
}

// Rows of the database are what is best divided among threads, unless they are few or the queries many: each task makes
// planes of its own.
std::vector<Task> cut(const Plan& plan, int threads) {
  const int64_t queries = plan.queries.rows, codes = plan.database.rows;
  const int64_t most = std::max<int64_t>(1, kPlaceBytes / (4 * kChunkTriples * plan.chunks));  // 44 bytes a chunk
  int64_t batches = std::clamp<int64_t>(queries / kSharing, 1, threads);
  const int64_t parts =
      std::clamp<int64_t>((threads + batches - 1) / batches, 1, std::max<int64_t>(1, codes / kLeastCodes));
  batches = std::min(queries, std::max(batches, (threads + parts - 1) / parts));
  batches *= (queries + batches * most - 1) / (batches * most);
  std::vector<Task> tasks;
  for (int64_t batch = 0; batch < batches; ++batch) {
    for (int64_t part = 0; part < parts; ++part) {
      tasks.push_back({queries * batch / batches, queries * (batch + 1) / batches, codes * part / parts,
                       codes * (part + 1) / parts, part});
    }
  }
  return tasks;
}

// How many labels a pair shares; 0 without labels.
int64_t overlap(const Labels* labels, int64_t query, int64_t row) {
  if (labels == nullptr) return 0;
  if (labels->query_ids != nullptr) {
    return labels->query_ids[query] >= 0 && labels->query_ids[query] == labels->database_ids[row];
  }
  int64_t shared = 0;
  for (int64_t i = 0; i < labels->set_bytes; ++i) {
    shared += __builtin_popcount(labels->query_sets[query * labels->set_bytes + i] &
                                 labels->database_sets[row * labels->set_bytes + i]);
  }
  return shared;
}

// Takes out the excluded rows, which were counted too.
void subtract_excluded(const Plan& plan, int64_t* out) {
  for (int64_t query = 0; query < plan.queries.rows; ++query) {
    const int64_t row = excluded(plan.filter, query), bytes = plan.queries.bytes;
    if (row < 0 || row >= plan.database.rows || (plan.filter.mask != nullptr && plan.filter.mask[row] == 0)) continue;
    int64_t distance = 0;
    for (int64_t i = 0; i < bytes; ++i) {
      distance += __builtin_popcount(plan.queries.data[query * bytes + i] ^ plan.database.data[row * bytes + i]);
    }
    int64_t channel = overlap(plan.labels, query, row);
    if (plan.channels == Channels::kRelevance) channel = channel != 0;
    --out[(query * (plan.bits + 1) + distance) * plan.width + channel];
  }
}

// out (queries.rows, bits + 1, width).
void histogram(const Plan& plan, int64_t* out, int threads) {
  std::fill(out, out + plan.queries.rows * (plan.bits + 1) * plan.width, 0);
  if (plan.queries.rows == 0) return;
  const Level& chosen = level();
  const std::vector<Task> tasks = cut(plan, threads);
  std::mutex adding;
  parallel_for(static_cast<int64_t>(tasks.size()), threads, [&](int64_t i) {
    const Task& task = tasks[static_cast<size_t>(i)];
    if (few(plan, task.last - task.first)) {
      PairCounting(chosen, plan, task).run(out, adding);
    } else {
      PlaneCounting(chosen, plan, task).run(out, adding);
    }
  });
  subtract_excluded(plan, out);
}

}  // namespace

void hamming_histogram(Codes queries, Codes database, Filter filter, int64_t* out, int threads) {
  histogram({queries, database, nullptr, Channels::kOne, 1, filter}, out, threads);
}

void relevance_histogram(Codes queries, Codes database, Labels labels, Filter filter, int64_t* out, int threads) {
  histogram({queries, database, &labels, Channels::kRelevance, 2, filter}, out, threads);
  // Counted as [irrelevant, relevant].
  for (int64_t i = 0; i < queries.rows * (8 * queries.bytes + 1); ++i) out[2 * i] += out[2 * i + 1];
}

void overlap_histogram(Codes queries, Codes database, Labels labels, int64_t classes, Filter filter, int64_t* out,
                       int threads) {
  histogram({queries, database, &labels, Channels::kOverlap, classes + 1, filter}, out, threads);
}

}  // namespace fasthash::cpu
