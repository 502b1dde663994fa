// The version of this polis, as `polis --version` and the status show it.
#pragma once

#include <string_view>

namespace polis::app {

inline constexpr std::string_view version() {
  return "0.1.0";
}

}  // namespace polis::app
