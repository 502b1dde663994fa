#include "systems/object/tier_command.h"

#include <boost/json.hpp>

#include "kernel/base/text_encoding.h"
#include "systems/object/command_place.h"
#include "systems/object/storage_class.h"

namespace polis::object {
namespace {

using systems::Invocation;

Task<Result<void>> show_classes(Invocation& call, const Place& where) {
  auto response =
      CO_TRY(co_await call.api.request("GET", std::string(kApi) + "/buckets/" + base::url_encode(where.bucket)));
  const boost::json::value answer = boost::json::parse(response.body);
  const boost::json::object& classes = answer.at("classes").as_object();
  if (call.output.json()) {
    call.output.document(boost::json::serialize(classes));
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, held] : classes)
    rows.push_back({std::string(name), std::to_string(held.at("versions").to_number<int64_t>()),
                    std::to_string(held.at("size_bytes").to_number<int64_t>())});
  call.output.table({"class", "versions", "bytes"}, rows);
  co_return Result<void>();
}

// A copy onto itself, as S3 has it: in a bucket that keeps versions the object gets a new one.
Task<Result<void>> move_to_class(Invocation& call, const Place& where, const std::string& storage_class) {
  const std::string source = base::url_encode(where.bucket + "/" + where.key, base::Slash::kKeep);
  CO_TRY(co_await call.api.request("PUT", where.target() + "?x-amz-copy-source=" + base::url_encode(source) +
                                              "&x-amz-storage-class=" + base::url_encode(storage_class)));
  call.output.line("tier: s3://" + where.bucket + "/" + where.key + " is in " + storage_class);
  co_return Result<void>();
}

Task<Result<void>> tier(Invocation& call) {
  const Place where = CO_TRY(place(call.arguments[0]));
  const bool has_class = call.has("class");
  if (!has_class && where.key.empty()) co_return co_await show_classes(call, where);
  if (where.key.empty())
    co_return fail(Code::kInvalid, "name an object: s3://" + where.bucket +
                                       "/key; many at once are moved by a lifecycle rule: polis object lifecycle");
  if (!has_class)
    co_return fail(Code::kInvalid, "name the class with --class; `polis object stat` tells the present one");
  if (!storage_class_named(call.flags["class"])) {
    std::string known;
    for (size_t i = 0; i < kStorageClasses; ++i)
      known += (i == 0 ? "" : ", ") + std::string(name(static_cast<StorageClass>(i)));
    co_return fail(Code::kInvalid, "there is no storage class " + call.flags["class"] + "; there are " + known);
  }
  co_return co_await move_to_class(call, where, call.flags["class"]);
}

}  // namespace

systems::Command tier_command() {
  return {.name = "tier",
          .help = "What a bucket holds in which storage class; or moves an object to another class",
          .arguments = {{.name = "place", .help = "s3://bucket or s3://bucket/key"}},
          .flags = {{.name = "class", .help = "STANDARD, REDUCED_REDUNDANCY, GLACIER, ...", .value = "CLASS"}},
          .run = tier};
}

}  // namespace polis::object
