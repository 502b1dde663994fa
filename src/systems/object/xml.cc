#include "systems/object/xml.h"

#include <expat.h>

#include "kernel/base/xml_text.h"

namespace polis::object {

// --- writing

namespace {
constexpr std::string_view kDeclaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
constexpr std::string_view kNamespace = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
}  // namespace

XmlWriter::XmlWriter(std::string_view root) : out_(kDeclaration) {
  open(root, kNamespace);
}
XmlWriter::XmlWriter(std::string_view root, Plain) : out_(kDeclaration) {
  open(root);
}

XmlWriter& XmlWriter::open(std::string_view name, std::string_view attributes) {
  out_.append("<").append(name);
  if (!attributes.empty()) out_.append(" ").append(attributes);
  out_.push_back('>');
  open_.push_back(name);
  return *this;
}

XmlWriter& XmlWriter::close() {
  POLIS_ASSERT(!open_.empty());
  out_.append("</").append(open_.back()).push_back('>');
  open_.pop_back();
  return *this;
}

XmlWriter& XmlWriter::element(std::string_view name, std::string_view text) {
  out_.append("<").append(name).push_back('>');
  base::append_xml_text(out_, text);
  out_.append("</").append(name).push_back('>');
  return *this;
}

XmlWriter& XmlWriter::empty(std::string_view name) {
  out_.append("<").append(name).append("/>");
  return *this;
}

std::string XmlWriter::finish() {
  while (!open_.empty()) close();
  return std::move(out_);
}

// --- reading

const XmlElement* XmlElement::child(std::string_view child_name) const {
  for (const XmlElement& one : children)
    if (one.name == child_name) return &one;
  return nullptr;
}

std::string_view XmlElement::text_of(std::string_view child_name) const {
  const XmlElement* found = child(child_name);
  return found ? std::string_view(found->text) : std::string_view();
}

namespace {

std::string_view local_name(std::string_view name) {
  size_t colon = name.rfind(':');
  return colon == name.npos ? name : name.substr(colon + 1);
}

struct TreeBuilder {
  XML_Parser parser;
  const XmlLimits& limits;
  XmlElement root;
  std::vector<XmlElement*> path;  // stays valid: an element's siblings grow only after it was closed
  size_t elements = 0;
  bool refused = false;

  void refuse_document() {
    refused = true;
    XML_StopParser(parser, XML_FALSE);
  }
  void started(const char* name, const char** attributes) {
    if (++elements > limits.elements_max || path.size() >= limits.depth_max) return refuse_document();
    XmlElement* element = &root;
    if (!path.empty()) {
      std::vector<XmlElement>& siblings = path.back()->children;
      if (siblings.empty()) siblings.reserve(2);  // number and ETag of a part, key and version of a deletion
      element = &siblings.emplace_back();
    }
    element->name = local_name(name);
    for (; *attributes; attributes += 2)
      if (local_name(attributes[0]) == "type") element->type = attributes[1];
    path.push_back(element);
  }
  void ended() { path.pop_back(); }
  void characters(std::string_view text) {
    if (!path.empty()) path.back()->text.append(text);
  }
};

}  // namespace

Answer<XmlElement> parse_xml(std::string_view document, const XmlLimits& limits) {
  if (document.size() > limits.bytes_max) return refuse(ErrorCode::kMaxMessageLengthExceeded);
  XML_Parser parser = XML_ParserCreate(nullptr);
  if (!parser) return refuse(ErrorCode::kInternalError, "No memory for an XML parser");
  TreeBuilder builder{.parser = parser, .limits = limits};
  XML_SetUserData(parser, &builder);
  XML_SetElementHandler(
      parser,
      [](void* self, const XML_Char* name, const XML_Char** attributes) {
        static_cast<TreeBuilder*>(self)->started(name, attributes);
      },
      [](void* self, const XML_Char*) { static_cast<TreeBuilder*>(self)->ended(); });
  XML_SetCharacterDataHandler(parser, [](void* self, const XML_Char* text, int size) {
    static_cast<TreeBuilder*>(self)->characters({text, static_cast<size_t>(size)});
  });
  // A document type is the only way to declare entities; S3's documents have none.
  XML_SetStartDoctypeDeclHandler(parser, [](void* self, const XML_Char*, const XML_Char*, const XML_Char*, int) {
    static_cast<TreeBuilder*>(self)->refuse_document();
  });
  bool parsed = XML_Parse(parser, document.data(), static_cast<int>(document.size()), XML_TRUE) == XML_STATUS_OK;
  XML_ParserFree(parser);
  if (!parsed || builder.refused) return refuse(ErrorCode::kMalformedXml);
  return std::move(builder.root);
}

}  // namespace polis::object
