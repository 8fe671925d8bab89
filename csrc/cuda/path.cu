#include "fasthash/path.h"

#include <atomic>

#include "lists.cuh"

namespace fasthash::cuda {
namespace {

std::atomic<Path> chosen{Path::kAuto};

bool can_take(Path path, int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  if (path == Path::kPlaced) return true;
  const bool tensor = path == Path::kTensor;
  // The b1 instruction is native to 8 and 9; later devices emulate it, slower than popcount.
  if (tensor && (bytes > kTensorBytes || (capability != 8 && capability != 9))) return false;
  return plan_lists(queries, database, bytes, k, tensor).group > 0;
}

// Fewer queries leave most rows of the instruction empty, and wait for memory anyhow.
constexpr int64_t kMinTensorQueries = 8;
// Fewer pairs than this, and two scans cost less than the dozen launches of lists.
constexpr int64_t kMinListedPairs = int64_t{1} << 24;

}  // namespace

Path choose_path(int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  if (queries * database < kMinListedPairs) return Path::kPlaced;
  if (queries >= kMinTensorQueries && can_take(Path::kTensor, capability, queries, database, bytes, k)) {
    return Path::kTensor;
  }
  return can_take(Path::kPopcount, capability, queries, database, bytes, k) ? Path::kPopcount : Path::kPlaced;
}

Path resolve_path(int64_t queries, int64_t database, int64_t bytes, int64_t k) {
  const int capability = compute_capability();
  const Path wanted = path();
  const bool possible = wanted != Path::kAuto && can_take(wanted, capability, queries, database, bytes, k);
  return possible ? wanted : choose_path(capability, queries, database, bytes, k);
}

void set_path(Path path) {
  chosen = path;
}
Path path() {
  return chosen;
}

int compute_capability() {
#ifdef FASTHASH_EMULATION
  return 9;
#else
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) {
    cudaGetLastError();
    return 0;  // the launch will say what is wrong
  }
  return major;
#endif
}

}  // namespace fasthash::cuda
