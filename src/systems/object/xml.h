// XML as S3 speaks it: a writer for answers and a reader for the small documents that clients send. Pure; no I/O. The
// reader is expat with everything off that a hostile document could use: no document types, so no entities beyond XML's
// own five, and limits on bytes, depth and elements.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "systems/object/error.h"

namespace polis::object {

// Builds a document in one string. Elements nest by open() and close(); text is escaped (kernel/base/xml_text.h), and
// what XML cannot hold becomes U+FFFD. Clients that need such keys exact ask for encoding-type=url.
class XmlWriter {
 public:
  // Starts with the declaration and the root element in S3's namespace.
  explicit XmlWriter(std::string_view root);
  // Without a namespace, as errors are.
  struct Plain {};
  XmlWriter(std::string_view root, Plain);

  // `name` must outlive the writer: a literal.
  XmlWriter& open(std::string_view name, std::string_view attributes = {});
  XmlWriter& close();
  XmlWriter& element(std::string_view name, std::string_view text);
  XmlWriter& element(std::string_view name, const char* text) { return element(name, std::string_view(text)); }
  XmlWriter& element(std::string_view name, bool value) { return element(name, value ? "true" : "false"); }
  XmlWriter& element(std::string_view name, uint64_t value) {
    return element(name, std::string_view(std::to_string(value)));
  }
  XmlWriter& element(std::string_view name, uint32_t value) { return element(name, uint64_t{value}); }
  XmlWriter& empty(std::string_view name);
  // Closes what is open and hands the document out.
  std::string finish();

 private:
  std::string out_;
  std::vector<std::string_view> open_;
};

struct XmlElement {
  std::string name;  // local name, without prefix
  std::string text;  // character data directly inside, as it stands
  std::string type;  // the xsi:type attribute
  std::vector<XmlElement> children;

  // The first child of that name; null without.
  const XmlElement* child(std::string_view child_name) const;
  // The text of that child; empty without.
  std::string_view text_of(std::string_view child_name) const;
};

struct XmlLimits {
  size_t bytes_max = 4u << 20;  // a Complete of 10,000 parts with checksums takes 2 MB, 1000 deletes of long keys 3 MB
  size_t depth_max = 16;        // S3's own documents nest 6 deep
  size_t elements_max = 100'000;
};

// kMalformedXml for everything that is not one well-formed document within the limits.
Answer<XmlElement> parse_xml(std::string_view document, const XmlLimits& limits = {});

}  // namespace polis::object
