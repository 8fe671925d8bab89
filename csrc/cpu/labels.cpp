// SPDX-License-Identifier: Apache-2.0
#include "labels.h"

namespace fasthash::cpu {

OwnLabels::OwnLabels(const Labels* labels, int64_t first, int64_t last) : first_(first) {
  size_t size = 64;  // mostly free: a look-up then guesses right
  while (size < 4 * static_cast<size_t>(last - first)) size *= 2;
  ids_.assign(size, -1);
  id_numbers_.resize(size);
  begins_.push_back(0);
  for (int64_t query = first; query < last; ++query) {
    if (labels != nullptr && labels->query_ids != nullptr && labels->query_ids[query] >= 0) {
      const int64_t id = labels->query_ids[query];
      const size_t place = find(id);
      if (ids_[place] != id) {
        ids_[place] = id;
        id_numbers_[place] = classes_++;
      }
      numbers_.push_back(id_numbers_[place]);
    } else if (labels != nullptr && labels->query_sets != nullptr) {
      const uint8_t* set = labels->query_sets + query * labels->set_bytes;
      for (int64_t bit = 0; bit < 8 * labels->set_bytes; ++bit) {
        if ((set[bit / 8] >> bit % 8 & 1) != 0) numbers_.push_back(static_cast<uint32_t>(bit));
      }
    }
    begins_.push_back(static_cast<int64_t>(numbers_.size()));
  }
}

}  // namespace fasthash::cpu
