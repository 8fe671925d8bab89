// SPDX-License-Identifier: Apache-2.0
// The k nearest: which path, and the search by lists of candidates.
#include "fasthash/select.h"

#include <cmath>

#include "lists.cuh"
#include "select.cuh"

namespace fasthash::cuda {
namespace {

// Small under emulation, so that small inputs walk all of it.
#ifdef FASTHASH_EMULATION
constexpr int64_t kCapacity = 512, kLargeCapacity = 8192;
constexpr int64_t kListKeys = int64_t{1} << 16;
constexpr int64_t kMinSample = 64;
#else
// Keys of a list, 32 or 64 KB, which a block sorts in shared memory.
constexpr int64_t kCapacity = 4096, kLargeCapacity = 8192;
constexpr int64_t kListKeys = int64_t{16} << 20;  // of all lists: 128 MB
constexpr int64_t kMinSample = 4096;
#endif
// Rows for each of the sample, at most: a coarser bound lets so much through that the scan stops for it all the time.
constexpr int64_t kMaxStep = 256;

int64_t slack(double mean) {
  return static_cast<int64_t>(std::ceil(mean + 4 * std::sqrt(mean) + 4));
}

// How many keys a bound of this rank among a share of the rows lets through, four deviations above the mean.
double most_keys(int64_t rank, double share) {
  const double mean = static_cast<double>(rank) / share;
  return mean + 4 * mean / std::sqrt(static_cast<double>(rank));
}

// Pieces of the caller's workspace, each aligned to 16 bytes.
class Carver {
 public:
  explicit Carver(void* workspace) : base_(static_cast<uint8_t*>(workspace)) {}

  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(base_ + used_);
    used_ += ceil_div(count * static_cast<int64_t>(sizeof(T)), 16) * 16;
    return piece;
  }
  int64_t used() const { return used_; }

 private:
  uint8_t* base_;
  int64_t used_ = 0;
};

struct ListSpace {
  Candidates candidates;
  int32_t* sample_distances;
  int64_t* sample_indices;
  uint8_t* sample_codes;
  uint8_t* sample_mask;
  // The searches by counting, over the sample and over all. Made for a whole group: what a smaller one needs is less
  // only by the same plan, since fewer queries alone would be planned with more parts.
  TablePlan sample_plan;
  TablePlan full_plan;
  void* tables;
  int64_t bytes;
};

ListSpace make_list_space(const ListPlan& plan, int64_t database, int64_t bytes, void* workspace) {
  Carver carver(workspace);
  ListSpace space{};
  space.candidates.capacity = plan.capacity;
  space.candidates.keys = carver.take<uint64_t>(plan.group * plan.capacity);
  space.candidates.counts = carver.take<unsigned long long>(plan.group);
  space.candidates.bounds = carver.take<uint64_t>(plan.group);
  space.candidates.answered = carver.take<int32_t>(plan.group);
  space.sample_distances = carver.take<int32_t>(plan.group * plan.sample_rank);
  space.sample_indices = carver.take<int64_t>(plan.group * plan.sample_rank);
  space.sample_codes = carver.take<uint8_t>(plan.sample_rows * bytes);
  space.sample_mask = carver.take<uint8_t>(plan.sample_rows);
  space.sample_plan = plan_topk(plan.group, plan.sample_rows, bytes);
  space.full_plan = plan_topk(plan.group, database, bytes);
  space.tables = carver.take<uint8_t>(std::max(space.sample_plan.workspace(), space.full_plan.workspace()));
  space.bytes = carver.used();
  return space;
}

// One group of queries: bounds from a sample, a scan that lists what is within them, the lists in order. The last
// search is for the queries whose bound turned out too low or whose list too short; it is always issued, so that nobody
// waits.
void search_listed(const char* op, bool tensor, const ListPlan& plan, const ListSpace& space, Codes queries,
                   Codes database, int64_t k, Filter filter, int32_t* distances, int64_t* indices,
                   StreamHandle stream) {
  const Candidates& lists = space.candidates;
  const Codes sample{space.sample_codes, plan.sample_rows, database.bytes};
  const Filter sample_filter{filter.mask != nullptr ? space.sample_mask : nullptr, nullptr};
  search_by_counting(op, space.sample_plan, queries, sample, plan.sample_rank, sample_filter, nullptr, nullptr,
                     space.sample_distances, space.sample_indices, space.tables, stream);
  begin_lists(op, lists, queries.rows, space.sample_distances, space.sample_indices, plan.sample_rank, plan.step,
              stream);
  if (tensor) {
    filter_by_tensor(op, queries, database, filter, Share::kFew, lists, stream);
    tighten(op, lists, queries.rows, plan.few_rank, stream);
    filter_by_tensor(op, queries, database, filter, Share::kRest, lists, stream);
  } else {
    filter_by_popcount(op, queries, database, filter, lists, stream);
  }
  write_lists(op, lists, queries.rows, k, distances, indices, stream);
  search_by_counting(op, space.full_plan, queries, database, k, filter, lists.answered, nullptr, distances, indices,
                     space.tables, stream);
}

}  // namespace

ListPlan plan_lists(int64_t queries, int64_t database, int64_t k, bool two_scans) {
  const double wanted = static_cast<double>(k), scanned = two_scans ? 1.0 / kShare : 1;
  ListPlan plan{};
  plan.few_rank = slack(wanted / kShare) + 1;  // one more, in case the query's own row is among them
  for (const int64_t capacity : {kCapacity, kLargeCapacity}) {
    const double most = static_cast<double>(capacity);
    if (two_scans && most_keys(plan.few_rank, 1.0 / kShare) > most) continue;
    for (int64_t rows = kMinSample; 4 * rows <= database; rows *= 2) {
      if (rows * kMaxStep < database) continue;
      plan.step = database / rows;
      plan.sample_rows = ceil_div(database, plan.step);
      const double share = static_cast<double>(plan.sample_rows) / static_cast<double>(database);
      plan.sample_rank = slack(wanted * share) + 1;
      if (most_keys(plan.sample_rank, share) * scanned > most) continue;
      plan.capacity = capacity;
      plan.group = std::min(kListKeys / capacity, queries);
      return plan;
    }
  }
  return plan;
}

int64_t topk_workspace(int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  int64_t most = plan_topk(queries, database, bytes).workspace();
  for (const bool two_scans : {false, true}) {  // the path may change until the call
    const ListPlan plan = plan_lists(queries, database, k, two_scans);
    if (plan.group > 0) most = std::max(most, make_list_space(plan, database, bytes, nullptr).bytes);
  }
  return most;
}

int64_t topk_answered(int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  const Path path = topk_path(queries, database, bytes, k);
  if (path == Path::kCounting) return -1;
  const ListPlan plan = plan_lists(queries, database, k, path == Path::kTensor);
  return static_cast<int64_t>(
      reinterpret_cast<intptr_t>(make_list_space(plan, database, bytes, nullptr).candidates.answered));
}

void hamming_topk(Codes queries, Codes database, int64_t k, Filter filter, int32_t* distances, int64_t* indices,
                  void* workspace, int64_t workspace_bytes, StreamHandle stream) {
  const char* op = "hamming_topk";
  const Path path = topk_path(queries.rows, database.rows, queries.bytes, k);
  if (path == Path::kCounting) {
    search_by_counting(op, plan_topk(queries.rows, database.rows, queries.bytes), queries, database, k, filter, nullptr,
                       nullptr, distances, indices, workspace, stream);
    return;
  }
  const bool tensor = path == Path::kTensor;
  const ListPlan plan = plan_lists(queries.rows, database.rows, k, tensor);
  const ListSpace space = make_list_space(plan, database.rows, queries.bytes, workspace);
  if (space.bytes > workspace_bytes) throw std::logic_error("hamming_topk: the workspace is smaller than its pieces");
  gather_sample(op, database, filter.mask, plan.step, plan.sample_rows, space.sample_codes, space.sample_mask, stream);
  for (int64_t first = 0; first < queries.rows; first += plan.group) {
    const int64_t count = std::min(plan.group, queries.rows - first);
    search_listed(op, tensor, plan, space, slice(queries, first, count), database, k, slice(filter, first),
                  distances + first * k, indices + first * k, stream);
  }
}

}  // namespace fasthash::cuda
