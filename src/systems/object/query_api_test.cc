#include "systems/object/query_api.h"

#include <gtest/gtest.h>

#include "systems/object/xml.h"

namespace polis::object {
namespace {

TEST(QueryForm, fields_are_decoded_as_forms_are) {
  auto form = QueryForm::parse("Action=CreateUser&UserName=a%2Bb+c&Path=%2Fx%2F&Empty=");
  ASSERT_TRUE(form.has_value());
  EXPECT_EQ(form->get("Action"), "CreateUser");
  EXPECT_EQ(form->get("UserName"), "a+b c");
  EXPECT_EQ(form->get("Path"), "/x/");
  EXPECT_TRUE(form->has("Empty"));
  EXPECT_FALSE(form->has("Missing"));
  EXPECT_EQ(form->get("Missing"), "");
}

TEST(QueryForm, broken_encoding_and_too_many_fields_are_refused) {
  EXPECT_FALSE(QueryForm::parse("Action=%zz").has_value());
  EXPECT_FALSE(QueryForm::parse("%2=1").has_value());
  std::string many;
  for (size_t i = 0; i < kQueryFieldsMax; ++i) many += "a" + std::to_string(i) + "=1&";
  EXPECT_TRUE(QueryForm::parse(many).has_value());
  EXPECT_FALSE(QueryForm::parse(many + "b=1").has_value());
}

TEST(QueryDocuments, are_well_formed_whatever_they_say) {
  std::string inner = query_element("UserName", "<&>\x01\"'");
  auto answer = parse_xml(query_document("GetUser", inner, "ID", false));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->name, "GetUserResponse");
  EXPECT_EQ(answer->child("GetUserResult")->text_of("UserName"), "<&>\xEF\xBF\xBD\"'");
  EXPECT_EQ(answer->child("ResponseMetadata")->text_of("RequestId"), "ID");
  auto nothing = parse_xml(query_document("DeleteUser", "", "ID", true));
  ASSERT_TRUE(nothing.has_value());
  EXPECT_EQ(nothing->child("DeleteUserResult"), nullptr);
  auto error = parse_xml(query_error_document({"NoSuchEntity", 404, "no <user>"}, "ID"));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->child("Error")->text_of("Code"), "NoSuchEntity");
  EXPECT_EQ(error->child("Error")->text_of("Type"), "Sender");
  EXPECT_EQ(error->child("Error")->text_of("Message"), "no <user>");
}

TEST(QueryFailures, have_the_codes_that_clients_of_iam_know) {
  EXPECT_EQ(query_failure(Error(Code::kNotFound, "x")).code, "NoSuchEntity");
  EXPECT_EQ(query_failure(Error(Code::kExists, "x")).code, "EntityAlreadyExists");
  EXPECT_EQ(query_failure(Error(Code::kInvalid, "x")).code, "ValidationError");
  EXPECT_EQ(query_failure(Error(Code::kDenied, "x")).status, 403);
  EXPECT_EQ(query_failure(Error(Code::kIo, "a path on the disk")).message.find("disk"), std::string::npos)
      << "what broke inside is not told";
}

}  // namespace
}  // namespace polis::object
