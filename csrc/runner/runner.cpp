// SPDX-License-Identifier: Apache-2.0
// Replays a file of op cases at every CPU level and for several thread counts, and compares byte for byte.
//
//   fasthash_runner FILE [--levels scalar,neon] [--threads 1,2,3,7]
//
// Exit status: 0 when all is equal, 1 at the first difference, 2 when it could not begin.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>
#include <sstream>
#include <stdexcept>

#include "dispatch.h"
#include "ops.h"

#if defined(FASTHASH_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif

namespace fasthash::runner {
namespace {

// What is being run, for the message of a fault; never destroyed, since one may come at the exit.
std::string& running = *new std::string("the runner itself");

void say_where() {
  const std::string line = "fasthash_runner: fault in " + running + "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

void watch_faults() {
#if defined(FASTHASH_ADDRESS_SANITIZER)
  __sanitizer_set_death_callback(say_where);
#else
  for (const int number : {SIGSEGV, SIGBUS, SIGILL}) {
    signal(number, [](int) {
      say_where();
      _exit(1);
    });
  }
#endif
}

template <class T>
std::string value_at(const uint8_t* data, int64_t place) {
  T value;
  std::memcpy(&value, data + static_cast<size_t>(place) * sizeof value, sizeof value);
  std::ostringstream out;
  out.precision(17);
  out << +value;
  return out.str();
}

std::string value_at(const std::string& dtype, const uint8_t* data, int64_t place) {
  if (dtype == kDtype<uint8_t>) return value_at<uint8_t>(data, place);
  if (dtype == kDtype<int32_t>) return value_at<int32_t>(data, place);
  if (dtype == kDtype<int64_t>) return value_at<int64_t>(data, place);
  if (dtype == kDtype<float>) return value_at<float>(data, place);
  if (dtype == kDtype<double>) return value_at<double>(data, place);
  throw std::invalid_argument("an output of dtype " + dtype + ", which runner.cpp cannot print");
}

// Empty when all outputs are as expected.
std::string difference(const Case& c) {
  for (size_t i = 0; i < c.outputs.size(); ++i) {
    const Array& expected = c.outputs[i];
    const uint8_t* got = c.room[i]->data();
    if (expected.bytes == 0 || std::memcmp(got, expected.data, expected.bytes) == 0) continue;
    const size_t element = expected.bytes / static_cast<size_t>(expected.size());
    int64_t place = 0;
    while (std::memcmp(got + place * element, expected.data + place * element, element) == 0) ++place;
    std::string at;
    int64_t rest = place;
    for (size_t d = expected.shape.size(); d-- > 0;) {
      at = std::to_string(rest % expected.shape[d]) + (at.empty() ? "" : ", ") + at;
      rest /= expected.shape[d];
    }
    return "output " + std::to_string(i) + " at (" + at + "): expected " +
           value_at(expected.dtype, expected.data, place) + ", got " + value_at(expected.dtype, got, place);
  }
  return "";
}

struct ForcedLevel {
  std::string name;
  std::string compiled_for;  // as said by the level that ran
};

// Runs a case at the level in force, which must be the one that served it.
void replay(const Case& c, Run run, ForcedLevel& level, int threads) {
  running = c.op + " [" + c.about + "] at level " + level.name + " with threads " + std::to_string(threads);
  size_t bytes = 0;
  for (const auto& room : c.room) {
    bytes += room->bytes();
    std::fill_n(room->data(), room->bytes(), uint8_t{0xA5});  // so that a place left out differs
  }
  run(c, threads);
  if (bytes != 0) {  // else there was nothing to do
    const auto* ran = cpu::last_level();
    if (ran == nullptr || ran->name != level.name) {
      throw std::runtime_error(std::string(ran != nullptr ? ran->name : "no level") + " ran instead");
    }
    level.compiled_for = ran->compiled_for;
  }
  if (const std::string found = difference(c); !found.empty()) throw std::runtime_error(found);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

struct Options {
  std::string file;
  std::vector<std::string> levels;
  std::vector<int> threads{1, 2, 3, 7};
};

Options parse(int count, char** arguments) {
  Options options;
  for (const auto* level : cpu::levels()) options.levels.push_back(level->name);
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--levels" && i + 1 < count) {
      options.levels = split(arguments[++i]);
    } else if (argument == "--threads" && i + 1 < count) {
      options.threads.clear();
      for (const std::string& number : split(arguments[++i])) options.threads.push_back(std::stoi(number));
    } else if (options.file.empty() && argument[0] != '-') {
      options.file = argument;
    } else {
      options.file.clear();
      break;
    }
  }
  if (options.file.empty() || options.levels.empty() || options.threads.empty()) {
    throw std::invalid_argument("usage: fasthash_runner FILE [--levels scalar,neon] [--threads 1,2,3,7]");
  }
  return options;
}

int main(int count, char** arguments) {
  Options options;
  std::optional<CaseFile> file;
  try {
    options = parse(count, arguments);
    for (const std::string& level : options.levels) cpu::set_level(level);
    file.emplace(options.file);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fasthash_runner: %s\n", error.what());
    return 2;
  }
  watch_faults();
  int64_t cases = 0;
  std::vector<ForcedLevel> levels;
  for (const std::string& name : options.levels) levels.push_back({name, ""});
  try {
    while (const std::optional<Case> c = file->next()) {
      running = c->op;
      const Run run = find_op(c->op);
      for (ForcedLevel& level : levels) {
        cpu::set_level(level.name);
        for (const int threads : options.threads) replay(*c, run, level, threads);
      }
      ++cases;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fasthash_runner: %s: %s\n", running.c_str(), error.what());
    return 1;
  }
  running = "the runner itself";
  if (cases == 0) {
    std::fprintf(stderr, "fasthash_runner: %s: expected at least one case, got none\n", options.file.c_str());
    return 1;
  }
  std::set<std::string> compiled_for;
  for (const ForcedLevel& level : levels) compiled_for.insert(level.compiled_for);
  if (compiled_for.size() != levels.size()) {
    std::fprintf(stderr, "fasthash_runner: two levels were compiled for the same instructions\n");
    return 1;
  }
  std::string threads;
  for (const int number : options.threads) threads += " " + std::to_string(number);
  for (const ForcedLevel& level : levels) {
    std::printf("level %s (compiled for %s): %lld cases equal, each with threads%s\n", level.name.c_str(),
                level.compiled_for.c_str(), static_cast<long long>(cases), threads.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace fasthash::runner

int main(int count, char** arguments) {
  return fasthash::runner::main(count, arguments);
}
