// Document: the JSON object of a request's body, read member by member with errors that name the member. Keeps the JSON
// library in one .cc file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/http/request.h"
#include "kernel/io/task.h"

namespace polis::app {

class Document {
 public:
  static Result<Document> parse(std::string_view text);
  // Of a request, at most systems::kApiBodySizeBytesMax; an empty body is an empty object.
  static Task<Result<Document>> read(http::Request& request);
  Document(Document&&) noexcept;
  ~Document();

  // kInvalid: absent, or another type.
  Result<std::string> text(std::string_view member) const;
  // The default when absent; kInvalid for another type.
  Result<std::string> text(std::string_view member, std::string_view value_default) const;
  Result<bool> boolean(std::string_view member, bool value_default) const;
  Result<std::optional<int64_t>> integer(std::string_view member) const;
  Result<std::vector<std::string>> texts(std::string_view member) const;

 private:
  struct State;
  explicit Document(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::app
