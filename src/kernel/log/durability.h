// Durability: what an acknowledged record survives.
#pragma once

#include <string_view>

namespace polis::log {

enum class Durability : unsigned char {
  kMemory,      // nothing
  kOs,          // kill -9 of the process
  kDisk,        // power loss
  kReplicated,  // loss of the node
};

constexpr std::string_view name(Durability durability) {
  switch (durability) {
    case Durability::kMemory:
      return "memory";
    case Durability::kOs:
      return "os";
    case Durability::kDisk:
      return "disk";
    case Durability::kReplicated:
      return "replicated";
  }
  return "?";
}

}  // namespace polis::log
