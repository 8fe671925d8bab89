// SPDX-License-Identifier: Apache-2.0
// Full matrices of bit counts on tensor cores: codes of at most kTensorBytes, on sm_80 to sm_90.
#pragma once

#include "fasthash/types.h"

namespace fasthash::cuda {

void distances_by_tensor(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream);
void overlaps_by_tensor(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream);

}  // namespace fasthash::cuda
