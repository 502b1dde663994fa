#include "systems/object/storage_class.h"

namespace polis::object {
namespace {

constexpr std::array<std::string_view, kStorageClasses> kStorageClassNames = {
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
    "GLACIER",  "DEEP_ARCHIVE"};

}  // namespace

std::string_view name(StorageClass storage_class) {
  return kStorageClassNames[static_cast<size_t>(storage_class)];
}

std::optional<StorageClass> storage_class_named(std::string_view name) {
  if (name.empty()) return StorageClass::kStandard;
  for (size_t i = 0; i < kStorageClasses; ++i)
    if (kStorageClassNames[i] == name) return static_cast<StorageClass>(i);
  return std::nullopt;
}

std::string stored_name(StorageClass storage_class) {
  return storage_class == StorageClass::kStandard ? std::string() : std::string(name(storage_class));
}

blob::Scheme scheme_of(StorageClass storage_class) {
  switch (storage_class) {
    case StorageClass::kReducedRedundancy:
      return {.data_units = 2, .parity_units = 1};
    case StorageClass::kGlacier:
    case StorageClass::kDeepArchive:
      return {.data_units = 8, .parity_units = 3};
    default:
      return {};
  }
}

}  // namespace polis::object
