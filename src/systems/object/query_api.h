// The query protocol of IAM and STS: a POST form to "/" that names its Action, answered in XML. Pure: forms in,
// documents out; iam_handlers.cc does the work.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/result.h"
#include "systems/object/error.h"

namespace polis::object {

inline constexpr size_t kQueryFormBytesMax = 256 * 1024;  // a policy of 20 KiB, percent-encoded, and what goes with it
inline constexpr size_t kQueryFieldsMax = 256;

// The fields of an application/x-www-form-urlencoded body.
class QueryForm {
 public:
  // kInvalid for broken encoding or too many fields.
  static Result<QueryForm> parse(std::string_view body);
  // Empty if absent.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// How a query call fails: a code of IAM's or STS's own, which are not S3's.
struct QueryFailure {
  std::string_view code;  // static text
  int status = 400;
  std::string message;
};
template <class T>
using QueryAnswer = std::expected<T, QueryFailure>;
// A kernel error in IAM's words.
QueryFailure query_failure(const Error& error);

// "<CreateUserResponse ...><CreateUserResult>" + inner + ... with the request id.
std::string query_document(std::string_view action, std::string_view inner, std::string_view request_id, bool sts);
std::string query_error_document(const QueryFailure& failure, std::string_view request_id);
// "<name>text</name>", escaped as XML demands.
std::string query_element(std::string_view name, std::string_view text);

}  // namespace polis::object
