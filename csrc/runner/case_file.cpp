// SPDX-License-Identifier: Apache-2.0
#include "case_file.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace fasthash::runner {
namespace {

constexpr std::string_view kHeader = "fasthash cases 1\n";

size_t element_size(const std::string& dtype) {
  if (dtype == "bfloat16") return 2;
  return dtype.size() == 3 && dtype[2] >= '1' && dtype[2] <= '8' ? static_cast<size_t>(dtype[2] - '0') : 0;
}

}  // namespace

int64_t Array::size() const {
  int64_t size = 1;
  for (const int64_t length : shape) size *= length;
  return size;
}

void Case::expect(const std::string& name, const Array& array, const char* dtype) {
  if (array.dtype != dtype) throw std::invalid_argument(name + ": expected dtype " + dtype + ", got " + array.dtype);
}

const Case::Input* Case::find(std::string_view name) const {
  for (const Input& input : inputs_) {
    if (input.name == name) return &input;
  }
  return nullptr;
}

const Case::Input& Case::get(std::string_view name) const {
  const Input* input = find(name);
  if (input == nullptr) throw std::invalid_argument(std::string(name) + ": expected an argument, got none");
  return *input;
}

Codes Case::codes(std::string_view name) const {
  const auto* rows = values<uint8_t>(name);
  const auto& shape = array(name).shape;
  if (shape.size() != 2) throw std::invalid_argument(std::string(name) + ": expected two dimensions");
  return {rows, shape[0], shape[1]};
}

Filter Case::filter() const {
  return {has("mask") ? reinterpret_cast<const uint8_t*>(values<bool>("mask")) : nullptr,
          has("exclude") ? values<int64_t>("exclude") : nullptr};
}

Labels Case::labels() const {
  if (array("query_labels").shape.size() == 1) {
    return {values<int64_t>("query_labels"), values<int64_t>("database_labels"), nullptr, nullptr, 0};
  }
  const Codes queries = codes("query_labels"), database = codes("database_labels");
  return {nullptr, nullptr, queries.data, database.data, queries.bytes};
}

CaseFile::CaseFile(const std::string& path) : path_(path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error(path + ": cannot be read");
  stream.seekg(0, std::ios::end);
  file_.resize(static_cast<size_t>(stream.tellg()));
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(file_.data()), static_cast<std::streamsize>(file_.size()));
  if (!stream || file_.size() < kHeader.size() || std::memcmp(file_.data(), kHeader.data(), kHeader.size()) != 0) {
    throw std::runtime_error(path + ": expected a file of fasthash cases");
  }
  place_ = kHeader.size();
}

const uint8_t* CaseFile::take(size_t bytes) {
  if (bytes > file_.size() - place_) throw std::runtime_error(path_ + ": cut off");
  const uint8_t* data = file_.data() + place_;
  place_ += bytes;
  return data;
}

template <class T>
T CaseFile::number() {
  T value;
  std::memcpy(&value, take(sizeof value), sizeof value);
  return value;
}

std::string CaseFile::text() {
  const auto length = number<uint32_t>();
  return {reinterpret_cast<const char*>(take(length)), length};
}

const Array& CaseFile::array() {
  const auto i = number<uint32_t>();
  if (i >= arrays_.size()) throw std::runtime_error(path_ + ": a case names array " + std::to_string(i) + " too early");
  return arrays_[i];
}

std::optional<Case> CaseFile::next() {
  for (;;) {
    const auto kind = number<char>();
    if (kind == 'E') return std::nullopt;
    if (kind == 'A') {
      Array array;
      array.dtype = text();
      array.shape.resize(number<uint32_t>());
      for (int64_t& length : array.shape) length = number<int64_t>();
      array.bytes = static_cast<size_t>(array.size()) * element_size(array.dtype);
      array.data = take(array.bytes);
      arrays_.push_back(array);
      continue;
    }
    if (kind != 'C') throw std::runtime_error(path_ + ": unknown record at byte " + std::to_string(place_ - 1));
    // Codes may begin anywhere; in every second case they do so at an odd address.
    const size_t odd = cases_++ % 2;
    const auto room_for = [odd](const Array& x) {
      return std::make_unique<Guarded>(x.bytes, element_size(x.dtype) == 1 ? odd : 0);
    };
    Case result;
    result.op = text();
    result.about = text();
    for (auto left = number<uint32_t>(); left > 0; --left) {
      std::string name = text();
      const Array& input = array();
      auto copy = room_for(input);
      std::copy_n(input.data, input.bytes, copy->data());
      result.inputs_.push_back({std::move(name), input, std::move(copy)});
    }
    for (auto left = number<uint32_t>(); left > 0; --left) {
      const Array& output = array();
      result.outputs.push_back(output);
      result.room.push_back(room_for(output));
    }
    return result;
  }
}

}  // namespace fasthash::runner
