#include "kernel/base/xml_text.h"

#include <gtest/gtest.h>

namespace polis::base {
namespace {

std::string xml(std::string_view text) {
  std::string out = "<";
  append_xml_text(out, text);
  return out.substr(1);
}

TEST(XmlText, what_has_no_meaning_in_xml_stays) {
  for (const char* text : {"", "a", "it's a/b;c=d", "Alice Söhne", "日本", "\xEF\xBC\xA1"}) EXPECT_EQ(xml(text), text);
}

TEST(XmlText, markup_becomes_references_wherever_it_stands) {
  EXPECT_EQ(xml("<&>\""), "&lt;&amp;&gt;&quot;");
  EXPECT_EQ(xml("a<b"), "a&lt;b");
  EXPECT_EQ(xml("&amp;"), "&amp;amp;");
  EXPECT_EQ(xml("]]>"), "]]&gt;");
}

TEST(XmlText, blanks_that_a_parser_would_change_become_references) {
  EXPECT_EQ(xml("a\r\n\tb c"), "a&#13;&#10;&#9;b c");
}

TEST(XmlText, what_xml_cannot_hold_is_replaced_one_by_one) {
  EXPECT_EQ(xml(std::string_view("a\0b\x1F", 4)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(xml("\xEF\xBF\xBE|\xEF\xBF\xBF"), "\xEF\xBF\xBD|\xEF\xBF\xBD");
  // What only begins so is somebody else's.
  for (const char* text : {"\xEF", "\xEF\xBF", "\xEF\xBF\xBD", "\xEF\xBE\xBF"}) EXPECT_EQ(xml(text), text);
  EXPECT_EQ(xml("\xEF\xBF<"), "\xEF\xBF&lt;");
}

}  // namespace
}  // namespace polis::base
