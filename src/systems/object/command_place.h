// What the verbs of `polis object` share: the place in the store that an argument names.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/result.h"

namespace polis::object {

inline constexpr std::string_view kApi = "/api/object/v1";

// "s3://bucket/key", or "bucket/key" where only that can be meant.
struct Place {
  std::string bucket, key;
  // The path of the admin API that speaks S3 about it.
  std::string target() const;
};

bool remote(std::string_view text);
// kInvalid without a bucket, or without a key that is needed.
Result<Place> place(std::string_view text, bool key_needed = false);

}  // namespace polis::object
