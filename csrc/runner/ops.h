// SPDX-License-Identifier: Apache-2.0
// How each op of a file is called.
#pragma once

#include "case_file.h"

namespace fasthash::runner {

using Run = void (*)(const Case& c, int threads);

// Throws std::invalid_argument for an op that ops.cpp does not list.
Run find_op(const std::string& name);

}  // namespace fasthash::runner
