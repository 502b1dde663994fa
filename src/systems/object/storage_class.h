// Storage classes: S3's names, and by which code the bytes of each lie on the drives. All of them are local and are
// read at once; they differ in how many drives may be lost and in how much space that takes.
//
//   REDUCED_REDUNDANCY      2+1: one drive may be lost, 1.5 bytes a byte, three drives a write
//   GLACIER, DEEP_ARCHIVE   8+3: three drives may be lost, 1.375 bytes a byte; only a pool of 11 drives offers it
//   all others              the pool's own code (4+2)
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/blob/blob.h"

namespace polis::object {

enum class StorageClass : unsigned char {
  kStandard,
  kReducedRedundancy,
  kStandardIa,
  kOneZoneIa,
  kIntelligentTiering,
  kGlacierIr,
  kGlacier,
  kDeepArchive,
};
inline constexpr size_t kStorageClasses = 8;

std::string_view name(StorageClass storage_class);
// Nothing for a name that is none. An empty name is STANDARD, as Metadata keeps it.
std::optional<StorageClass> storage_class_named(std::string_view name);
// As Metadata keeps it: empty for STANDARD.
std::string stored_name(StorageClass storage_class);
// The code of its bytes; {}: the pool's own.
blob::Scheme scheme_of(StorageClass storage_class);

}  // namespace polis::object
