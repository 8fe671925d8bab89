// SPDX-License-Identifier: Apache-2.0
// Op cases in a file, as tests/native_cases.py writes them: inputs and the results to be equalled, byte for byte.
//
// Numbers are little-endian, a string is a u32 length and its bytes. The line "fasthash cases 1\n", then records, each
// begun by one byte:
//   'A'  an array: dtype as numpy writes it ("<i8", "|u1"; "bfloat16"), u32 dimensions, u64 each of them, and the
//        elements in C order. Arrays are numbered from 0 as they come; several cases may share one.
//   'C'  a case: op, what it is about (two strings); u32 inputs, each the argument's name and the u32 number of its
//        array (a whole number is an array "<i8" without dimensions); u32 outputs, each the u32 number of its array.
//   'E'  the end: a file without it is cut off.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fasthash/types.h"
#include "guarded.h"

namespace fasthash::runner {

// An array of the file, in place.
struct Array {
  std::string dtype;
  std::vector<int64_t> shape;
  const uint8_t* data;
  size_t bytes;

  int64_t size() const;
};

template <class T>
inline constexpr const char* kDtype = nullptr;
template <>
inline constexpr const char* kDtype<uint8_t> = "|u1";
template <>
inline constexpr const char* kDtype<bool> = "|b1";
template <>
inline constexpr const char* kDtype<int32_t> = "<i4";
template <>
inline constexpr const char* kDtype<int64_t> = "<i8";
template <>
inline constexpr const char* kDtype<float> = "<f4";
template <>
inline constexpr const char* kDtype<double> = "<f8";

// One call of an op. Arguments are asked for by name, in the form that kernels take; a wrong or missing one throws
// std::invalid_argument.
class Case {
 public:
  std::string op, about;

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const Array& array(std::string_view name) const { return get(name).array; }
  const void* data(std::string_view name) const { return get(name).copy->data(); }
  template <class T>
  const T* values(std::string_view name) const {
    expect(std::string(name), get(name).array, kDtype<T>);
    return static_cast<const T*>(data(name));
  }
  int64_t number(std::string_view name) const { return *values<int64_t>(name); }
  Codes codes(std::string_view name) const;
  Filter filter() const;  // mask and exclude, where they are given
  Labels labels() const;  // query_labels and database_labels: class ids (int64) or packed sets (uint8)

  // Room for output i, of the shape that is expected.
  template <class T>
  T* out(size_t i) const {
    expect("output " + std::to_string(i), outputs.at(i), kDtype<T>);
    return reinterpret_cast<T*>(room[i]->data());
  }

  std::vector<Array> outputs;                  // as expected
  std::vector<std::unique_ptr<Guarded>> room;  // as written by the op

 private:
  friend class CaseFile;
  struct Input {
    std::string name;
    Array array;
    std::unique_ptr<Guarded> copy;
  };

  static void expect(const std::string& name, const Array& array, const char* dtype);
  const Input* find(std::string_view name) const;
  const Input& get(std::string_view name) const;

  std::vector<Input> inputs_;
};

class CaseFile {
 public:
  // Reads the whole file; throws std::runtime_error where it is not one.
  explicit CaseFile(const std::string& path);
  // The next case, with copies of its inputs and room for its outputs; none at the end.
  std::optional<Case> next();

 private:
  const uint8_t* take(size_t bytes);
  template <class T>
  T number();
  std::string text();
  const Array& array();

  std::string path_;
  std::vector<uint8_t> file_;
  size_t place_ = 0, cases_ = 0;
  std::vector<Array> arrays_;
};

}  // namespace fasthash::runner
