// The policy of a form upload: who signs it decides what a stranger's browser may put where. A JSON document:
//
//   {"expiration": "2026-12-01T12:00:00Z", "conditions": [{"bucket": "b"}, ["starts-with", "$key", "user/"],
//                                                          ["content-length-range", 1, 1048576], ["eq", "$acl",
//                                                          "private"]]}
//
// After "POST policy" of the Amazon S3 API Reference. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "systems/object/types.h"

namespace polis::object {

// Form fields by lower-case name; `bucket` among them.
using FormFields = std::map<std::string, std::string, std::less<>>;

struct PostPolicy {
  struct Condition {
    bool starts_with = false;  // else: equal
    std::string field;         // lower case, without '$'
    std::string value;
  };
  WallTime expires_at{};
  std::vector<Condition> conditions;
  uint64_t size_bytes_min = 0;
  uint64_t size_bytes_max = kPutBytesMax;

  // kInvalidPolicyDocument for anything malformed.
  static Answer<PostPolicy> parse(std::string_view json);
  // kAccessDenied unless it has not expired, every condition holds, and a condition names every field that is not free.
  Answer<void> check(const FormFields& fields, WallTime now) const;
};

}  // namespace polis::object
