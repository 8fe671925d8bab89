// SPDX-License-Identifier: Apache-2.0
#include "ops.h"

#include <algorithm>
#include <limits>
#include <map>
#include <stdexcept>

#include "fasthash/count.h"
#include "fasthash/distance.h"
#include "fasthash/multi_index.h"
#include "fasthash/pack.h"
#include "fasthash/score.h"
#include "fasthash/select.h"

namespace fasthash::runner {
namespace {

// As in fasthash/ops/codes.py.
const std::map<std::string, Element> kElements = {
    {"|b1", {1, 0xFF}},
    {"|i1", {1, 0x7F}},
    {"<i2", {2, 0x7FFF}},
    {"<i4", {4, 0x7FFFFFFF}},
    {"<i8", {8, 0x7FFFFFFFFFFFFFFF}},
    {"<f2", {2, 0x7C00}},
    {"bfloat16", {2, 0x7F80}},
    {"<f4", {4, 0x7F800000}},
    {"<f8", {8, 0x7FF0000000000000}},
};

const std::map<std::string, Values> kDocuments = {
    {"|u1", Values::kSigns},         {"|i1", Values::kInt8},    {"<f2", Values::kFloat16},
    {"bfloat16", Values::kBfloat16}, {"<f4", Values::kFloat32}, {"<f8", Values::kFloat64},
};

void pack(const Case& c, std::string_view name, uint8_t* out, int threads) {
  const Array& x = c.array(name);
  const Element element = kElements.at(x.dtype);
  const int64_t bits = x.shape.back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < x.shape.size(); ++i) rows *= x.shape[i];
  cpu::pack(c.data(name), element, rows, bits, bits * element.width, out, threads);
}

void hamming_range(const Case& c, int threads) {
  const Codes queries = c.codes("queries");
  const auto found = cpu::hamming_range(queries, c.codes("database"), c.number("radius"), c.filter(), threads);
  auto* offsets = c.out<int64_t>(0);
  found->counts(offsets + 1);
  offsets[0] = 0;
  for (int64_t i = 0; i < queries.rows; ++i) offsets[i + 1] += offsets[i];
  // Another number of codes than expected shows in the offsets, and there is no room for it.
  if (offsets[queries.rows] != c.outputs[1].size()) return;
  found->write(offsets, c.out<int32_t>(1), c.out<int64_t>(2), threads);
}

// A scale that is not one factor a document goes to the queries, as in fasthash/ops/scores.py.
void rescore(const Case& c, std::string_view name, const int64_t* candidates, int64_t count, float* scores,
             int threads) {
  const Array& table = c.array(name);
  const auto& shape = c.array("queries").shape;
  const float* queries = c.values<float>("queries");
  const float* of_document = nullptr;
  std::vector<float> scaled;
  if (c.has("scale")) {
    const Array& scale = c.array("scale");
    const float* factors = c.values<float>("scale");
    if (scale.shape == std::vector<int64_t>{table.shape[0], 1}) {
      of_document = factors;
    } else {
      scaled.assign(queries, queries + shape[0] * shape[1]);
      for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= factors[i % static_cast<size_t>(scale.size())];
      queries = scaled.data();
    }
  }
  const int64_t row_stride = static_cast<int64_t>(table.bytes) / std::max<int64_t>(1, table.shape[0]);
  cpu::rescore({queries, shape[0], shape[1], candidates, count},
               {c.data(name), kDocuments.at(table.dtype), table.shape[0], row_stride, of_document}, scores, threads);
}

// As in fasthash/ops/rescored.py.
void topk_rescored(const Case& c, int threads) {
  const Codes codes = c.codes("codes");
  const int64_t rows = c.array("queries").shape[0], k = c.number("k");
  const int64_t count = std::max(k, std::min(k * c.number("oversample"), codes.rows));
  std::vector<uint8_t> packed(static_cast<size_t>(rows * codes.bytes));
  std::vector<int32_t> distances(static_cast<size_t>(rows * count));
  std::vector<int64_t> candidates(static_cast<size_t>(rows * count)), order(static_cast<size_t>(rows * k));
  std::vector<float> scores(static_cast<size_t>(rows * count));
  pack(c, "queries", packed.data(), threads);
  cpu::hamming_topk({packed.data(), rows, codes.bytes}, codes, count, c.filter(), distances.data(), candidates.data(),
                    threads);
  rescore(c, c.has("documents") ? "documents" : "codes", candidates.data(), count, scores.data(), threads);
  cpu::score_order(scores.data(), candidates.data(), rows, count, k, order.data(), threads);
  for (int64_t i = 0; i < rows * k; ++i) {
    const auto place = static_cast<size_t>(i / k * count + order[static_cast<size_t>(i)]);
    c.out<float>(0)[i] = scores[place];
    c.out<int64_t>(1)[i] = candidates[place];
  }
}

const std::map<std::string, Run> kOps = {
    {"pack", [](const Case& c, int threads) { pack(c, "x", c.out<uint8_t>(0), threads); }},
    {"unpack",
     [](const Case& c, int threads) {
       const Codes codes = c.codes("codes");
       cpu::unpack(codes.data, codes.rows, c.number("bits"), c.out<float>(0), threads);
     }},
    {"hamming_distance",
     [](const Case& c, int threads) { cpu::hamming_distance(c.codes("a"), c.codes("b"), c.out<int32_t>(0), threads); }},
    {"label_overlap",
     [](const Case& c, int threads) { cpu::label_overlap(c.codes("a"), c.codes("b"), c.out<int32_t>(0), threads); }},
    {"hamming_topk",
     [](const Case& c, int threads) {
       cpu::hamming_topk(c.codes("queries"), c.codes("database"), c.number("k"), c.filter(), c.out<int32_t>(0),
                         c.out<int64_t>(1), threads);
     }},
    {"hamming_range", hamming_range},
    {"multi_index_topk",
     [](const Case& c, int threads) {
       const Codes database = c.codes("database");
       const cpu::MultiIndex index(database, c.number("bits"), threads);
       index.topk(c.codes("queries"), database, c.number("k"), c.filter(), std::numeric_limits<double>::infinity(),
                  c.out<int32_t>(0), c.out<int64_t>(1), threads);
     }},
    {"hamming_range_padded",
     [](const Case& c, int threads) {
       cpu::hamming_range_padded(c.codes("queries"), c.codes("database"), c.number("radius"), c.number("capacity"),
                                 c.filter(), c.out<int64_t>(0), c.out<int32_t>(1), c.out<int64_t>(2), threads);
     }},
    {"hamming_histogram",
     [](const Case& c, int threads) {
       cpu::hamming_histogram(c.codes("queries"), c.codes("database"), c.filter(), c.out<int64_t>(0), threads);
     }},
    {"relevance_histogram",
     [](const Case& c, int threads) {
       cpu::relevance_histogram(c.codes("queries"), c.codes("database"), c.labels(), c.filter(), c.out<int64_t>(0),
                                threads);
     }},
    {"overlap_histogram",
     [](const Case& c, int threads) {
       const int64_t classes = c.outputs[0].shape[2] - 1;
       cpu::overlap_histogram(c.codes("queries"), c.codes("database"), c.labels(), classes, c.filter(),
                              c.out<int64_t>(0), threads);
     }},
    {"average_precision_counts",
     [](const Case& c, int threads) {
       const Codes database = c.codes("database");
       cpu::average_precision_counts(c.codes("queries"), database, c.labels(), c.filter(),
                                     c.has("k") ? c.number("k") : database.rows, c.out<double>(0), c.out<int64_t>(1),
                                     c.out<int64_t>(2), threads);
     }},
    {"rescore",
     [](const Case& c, int threads) {
       const auto* candidates = c.values<int64_t>("candidates");
       rescore(c, "documents", candidates, c.array("candidates").shape[1], c.out<float>(0), threads);
     }},
    {"topk_rescored", topk_rescored},
};

}  // namespace

Run find_op(const std::string& name) {
  const auto found = kOps.find(name);
  if (found == kOps.end()) {
    throw std::invalid_argument(name + ": an op that csrc/runner/ops.cpp does not list");
  }
  return found->second;
}

}  // namespace fasthash::runner
