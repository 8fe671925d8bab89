#include "ops.h"

#include <map>
#include <stdexcept>

#include "fasthash/count.h"
#include "fasthash/distance.h"
#include "fasthash/pack.h"
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

void pack(const Case& c, int threads) {
  const Array& x = c.array("x");
  const Element element = kElements.at(x.dtype);
  const int64_t bits = x.shape.back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < x.shape.size(); ++i) rows *= x.shape[i];
  cpu::pack(c.data("x"), element, rows, bits, bits * element.width, c.out<uint8_t>(0), threads);
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

const std::map<std::string, Run> kOps = {
    {"pack", pack},
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
    {"hamming_histogram",
     [](const Case& c, int threads) {
       cpu::hamming_histogram(c.codes("queries"), c.codes("database"), c.filter(), c.out<int64_t>(0), threads);
     }},
    {"relevance_histogram",
     [](const Case& c, int threads) {
       cpu::relevance_histogram(c.codes("queries"), c.codes("database"), c.labels(), c.filter(), c.out<int64_t>(0),
                                threads);
     }},
    {"average_precision_counts",
     [](const Case& c, int threads) {
       const Codes database = c.codes("database");
       cpu::average_precision_counts(c.codes("queries"), database, c.labels(), c.filter(),
                                     c.has("k") ? c.number("k") : database.rows, c.out<double>(0), c.out<int64_t>(1),
                                     c.out<int64_t>(2), threads);
     }},
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
