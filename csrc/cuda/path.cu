// SPDX-License-Identifier: Apache-2.0
#include "fasthash/path.h"

#include <array>
#include <atomic>
#include <cstdlib>

#include "lists.cuh"

namespace fasthash::cuda {
namespace {

constexpr std::array kNames{"counting", "popcount", "tensor", "auto"};  // as in Path

// Fewer queries leave most rows of the matrix instruction empty, and wait for memory anyhow.
constexpr int64_t kMinTensorQueries = 8;
// Fewer pairs than this, and two scans cost less than the dozen launches around lists.
constexpr int64_t kMinListedPairs = int64_t{1} << 24;
// A matrix is bound by its four bytes a pair: shorter codes leave popcount time enough for that.
constexpr int64_t kMinMatrixBytes = 17;
constexpr int64_t kMinMatrixPairs = int64_t{1} << 20;

// The b1 instruction is native to 8 and 9; later devices emulate it, slower than popcount.
bool has_tensor(int capability, int64_t bytes) {
  return (capability == 8 || capability == 9) && bytes <= kTensorBytes;
}

bool can_take(Path path, int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  if (path == Path::kCounting) return true;
  if (path == Path::kTensor && !has_tensor(capability, bytes)) return false;
  return path != Path::kAuto && plan_lists(queries, database, k, path == Path::kTensor).group > 0;
}

Path path_of(const std::string& name, const char* argument) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Path>(i);
  }
  throw std::invalid_argument(std::string(argument) + ": expected 'auto', 'counting', 'popcount' or 'tensor', got '" +
                              name + "'");
}

// Read by the first call, so that a wrong value fails there and not at import.
std::atomic<Path>& chosen() {
  static std::atomic<Path> path = [] {
    const char* forced = std::getenv("FASTHASH_CUDA_PATH");
    return forced == nullptr || *forced == '\0' ? Path::kAuto : path_of(forced, "FASTHASH_CUDA_PATH");
  }();
  return path;
}

int compute_capability() {
#ifdef FASTHASH_EMULATION
  return 9;
#else
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) {
    cudaGetLastError();  // the launch will say what is wrong
  }
  return major;
#endif
}

}  // namespace

Path choose_path(int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  if (static_cast<double>(queries) * static_cast<double>(database) < kMinListedPairs) return Path::kCounting;
  if (queries >= kMinTensorQueries && can_take(Path::kTensor, capability, queries, database, bytes, k)) {
    return Path::kTensor;
  }
  return can_take(Path::kPopcount, capability, queries, database, bytes, k) ? Path::kPopcount : Path::kCounting;
}

Path choose_matrix_path(int capability, int64_t a_rows, int64_t b_rows, int64_t bytes) {
  const bool large = static_cast<double>(a_rows) * static_cast<double>(b_rows) >= kMinMatrixPairs;
  const bool pays = large && a_rows >= kMinTensorQueries && bytes >= kMinMatrixBytes;
  return pays && has_tensor(capability, bytes) ? Path::kTensor : Path::kPopcount;
}

Path topk_path(int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  const int capability = compute_capability();
  const Path wanted = path();
  const bool possible = can_take(wanted, capability, queries, database, bytes, k);
  return possible ? wanted : choose_path(capability, queries, database, bytes, k);
}

Path matrix_path(int64_t a_rows, int64_t b_rows, int64_t bytes) {
  const int capability = compute_capability();
  const Path wanted = path();
  if (wanted == Path::kTensor && has_tensor(capability, bytes)) return Path::kTensor;
  return wanted == Path::kAuto ? choose_matrix_path(capability, a_rows, b_rows, bytes) : Path::kPopcount;
}

void set_path(const std::string& name) {
  chosen() = path_of(name, "name");
}
Path path() {
  return chosen();
}
const char* name_of(Path path) {
  return kNames[static_cast<size_t>(path)];
}

}  // namespace fasthash::cuda
