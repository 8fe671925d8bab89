// SPDX-License-Identifier: Apache-2.0
// Which CPU level serves a call.
#pragma once

#include <string>
#include <vector>

#include "level.h"

namespace fasthash::cpu {

// The level in force; noted as the one that served the last call.
const Level& level();
const Level* last_level();
// Levels of this machine, lowest first.
const std::vector<const Level*>& levels();
// Throws std::invalid_argument when the machine lacks it.
void set_level(const std::string& name);

}  // namespace fasthash::cpu
