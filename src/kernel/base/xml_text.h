// Text inside an XML document, between tags or in an attribute's quotes.
#pragma once

#include <string>
#include <string_view>

namespace polis::base {

// Appends `text` so that a parser gives it back as it stands. XML 1.0 cannot hold most control characters nor U+FFFE
// and U+FFFF, not even as references: they become U+FFFD, because a parser refuses a document with one of them whole.
// Bytes that are no UTF-8 stay as they are.
void append_xml_text(std::string& out, std::string_view text);

}  // namespace polis::base
