#include "systems/object/command_place.h"

#include <algorithm>

#include "kernel/base/text_encoding.h"

namespace polis::object {

std::string Place::target() const {
  return std::string(kApi) + "/s3/" + base::url_encode(bucket) +
         (key.empty() ? "" : "/" + base::url_encode(key, base::Slash::kKeep));
}

bool remote(std::string_view text) {
  return text.starts_with("s3://");
}

Result<Place> place(std::string_view text, bool key_needed) {
  if (remote(text)) text.remove_prefix(5);
  size_t slash = std::min(text.find('/'), text.size());
  Place out{std::string(text.substr(0, slash)), std::string(slash < text.size() ? text.substr(slash + 1) : "")};
  if (out.bucket.empty()) return fail(Code::kInvalid, "name a bucket: s3://bucket or s3://bucket/key");
  if (key_needed && out.key.empty()) return fail(Code::kInvalid, "name an object: s3://" + out.bucket + "/key");
  return out;
}

}  // namespace polis::object
