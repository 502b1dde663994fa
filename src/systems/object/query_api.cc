#include "systems/object/query_api.h"

#include "kernel/base/text_encoding.h"
#include "kernel/base/xml_text.h"
#include "kernel/http/uri.h"

namespace polis::object {

Result<QueryForm> QueryForm::parse(std::string_view body) {
  QueryForm form;
  http::QueryParameter parameter;
  while (http::next_query_parameter(body, parameter)) {
    if (form.fields_.size() == kQueryFieldsMax) return fail(Code::kInvalid, "the form has too many fields");
    auto name = base::url_decode(parameter.name, base::Plus::kSpace);
    auto value = base::url_decode(parameter.value, base::Plus::kSpace);
    if (!name || !value) return fail(Code::kInvalid, "the form has broken percent-encoding");
    form.fields_.emplace_back(std::move(*name), std::move(*value));
  }
  return form;
}

std::string_view QueryForm::get(std::string_view name) const {
  for (const auto& [one, value] : fields_)
    if (one == name) return value;
  return {};
}

bool QueryForm::has(std::string_view name) const {
  for (const auto& [one, value] : fields_)
    if (one == name) return true;
  return false;
}

QueryFailure query_failure(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
      return {"NoSuchEntity", 404, error.message()};
    case Code::kExists:
      return {"EntityAlreadyExists", 409, error.message()};
    case Code::kInvalid:
      return {"ValidationError", 400, error.message()};
    case Code::kTooLarge:
      return {"LimitExceeded", 409, error.message()};
    case Code::kDenied:
    case Code::kUnauthenticated:
      return {"AccessDenied", 403, error.message()};
    case Code::kConflict:
      return {"ConcurrentModification", 409, error.message()};
    case Code::kBusy:
    case Code::kUnavailable:
      return {"ServiceUnavailable", 503, error.message()};
    default:
      return {"ServiceFailure", 500, "The request failed because of an unknown error"};
  }
}

std::string query_element(std::string_view name, std::string_view text) {
  std::string out = "<" + std::string(name) + ">";
  base::append_xml_text(out, text);
  return out += "</" + std::string(name) + ">";
}

std::string query_document(std::string_view action, std::string_view inner, std::string_view request_id, bool sts) {
  std::string name(action);
  std::string space = sts ? "https://sts.amazonaws.com/doc/2011-06-15/" : "https://iam.amazonaws.com/doc/2010-05-08/";
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" + name + "Response xmlns=\"" + space + "\">";
  if (!inner.empty()) out += "<" + name + "Result>" + std::string(inner) + "</" + name + "Result>";
  out += "<ResponseMetadata>" + query_element("RequestId", request_id) + "</ResponseMetadata></" + name + "Response>";
  return out;
}

std::string query_error_document(const QueryFailure& failure, std::string_view request_id) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse><Error>" +
         query_element("Type", failure.status < 500 ? "Sender" : "Receiver") + query_element("Code", failure.code) +
         query_element("Message", failure.message) + "</Error>" + query_element("RequestId", request_id) +
         "</ErrorResponse>";
}

}  // namespace polis::object
