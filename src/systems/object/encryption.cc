#include "systems/object/encryption.h"

#include <algorithm>
#include <boost/json.hpp>

#include "kernel/base/text_encoding.h"

namespace polis::object {
namespace {

constexpr std::string_view kAes = "AES256";
constexpr std::string_view kKms = "aws:kms";
constexpr std::string_view kDualLayer = "aws:kms:dsse";
constexpr std::string_view kPrefix = "x-amz-server-side-encryption";

Answer<EncryptionWish> customer_wish(const EncryptionFields& fields) {
  auto invalid = [](std::string_view what) {
    return refuse(
        ErrorCode::kInvalidArgument,
        "Requests specifying Server Side Encryption with Customer provided keys must provide " + std::string(what));
  };
  if (!fields.customer_algorithm) return invalid("a valid encryption algorithm.");
  if (*fields.customer_algorithm != kAes)
    return refuse(ErrorCode::kInvalidEncryptionAlgorithm,
                  "The encryption request you specified is not valid. The valid value is AES256.");
  if (!fields.customer_key) return invalid("an appropriate secret key.");
  if (!fields.customer_key_md5) return invalid("the client calculated MD5 of the secret key.");
  auto key = base::base64_decode(*fields.customer_key);
  std::array<std::byte, 32> bytes{};
  bool right_size = key && key->size() == bytes.size();
  if (right_size) std::copy(key->begin(), key->end(), bytes.begin());
  if (key) base::secure_wipe(*key);
  if (!right_size)
    return refuse(ErrorCode::kInvalidArgument, "The secret key was invalid for the specified algorithm.");
  EncryptionWish wish{.encryption = {.kind = EncryptionKind::kCustomer}, .customer_key = SecretKey(bytes)};
  auto digest = base::md5(BytesView(bytes));
  base::secure_wipe(bytes);
  auto told = base::base64_decode(*fields.customer_key_md5);
  if (!told || !base::constant_time_equal(*told, digest))
    return refuse(ErrorCode::kInvalidArgument,
                  "The calculated MD5 hash of the key did not match the hash that was provided.");
  wish.encryption.customer_key_md5 = as_text(digest);
  return wish;
}

// Base64 of a JSON object of strings, as Amazon KMS takes it.
Answer<void> check_kms_context(std::string_view context) {
  auto wrong = [] {
    return refuse(ErrorCode::kInvalidArgument,
                  "The header x-amz-server-side-encryption-context shall be the base64 of a JSON object of strings");
  };
  if (context.size() > kKmsContextBytesMax) return wrong();
  auto text = base::base64_decode(context);
  if (!text) return wrong();
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(as_text(*text), error);
  if (error || !value.is_object()) return wrong();
  for (const auto& pair : value.get_object())
    if (!pair.value().is_string()) return wrong();
  return {};
}

}  // namespace

EncryptionFields encryption_fields(const Call& call) {
  auto field = [&](std::string_view rest) { return call.field(std::string(kPrefix) + std::string(rest)); };
  return {.method = field(""),
          .kms_key_id = field("-aws-kms-key-id"),
          .kms_context = field("-context"),
          .bucket_key = field("-bucket-key-enabled"),
          .customer_algorithm = field("-customer-algorithm"),
          .customer_key = field("-customer-key"),
          .customer_key_md5 = field("-customer-key-md5")};
}

EncryptionFields copy_source_encryption_fields(const Call& call) {
  auto field = [&](std::string_view rest) {
    return call.field("x-amz-copy-source-server-side-encryption-customer-" + std::string(rest));
  };
  EncryptionFields fields;
  fields.customer_algorithm = field("algorithm");
  fields.customer_key = field("key");
  fields.customer_key_md5 = field("key-md5");
  return fields;
}

Answer<EncryptionWish> encryption_wish(const EncryptionFields& fields) {
  if (fields.customer()) {
    if (fields.method || fields.kms_key_id || fields.kms_context)
      return refuse(ErrorCode::kInvalidArgument,
                    "Server Side Encryption with Customer provided key is incompatible with the encryption method "
                    "specified");
    return customer_wish(fields);
  }
  EncryptionWish wish;
  if (!fields.method) {
    // Whoever names a key and no method believes his bytes to be encrypted under it.
    if (fields.kms_key_id || fields.kms_context)
      return refuse(ErrorCode::kInvalidArgument,
                    "The headers of Server Side Encryption with KMS keys need x-amz-server-side-encryption: aws:kms");
    return wish;
  }
  if (*fields.method == kAes) {
    if (fields.kms_key_id || fields.kms_context)
      return refuse(ErrorCode::kInvalidArgument,
                    "Server Side Encryption with S3 managed keys is incompatible with the key id or context specified");
    wish.encryption.kind = EncryptionKind::kS3;
    return wish;
  }
  if (*fields.method == kDualLayer)
    return refuse(ErrorCode::kNotImplemented, "Dual-layer encryption (aws:kms:dsse) is not offered here");
  if (*fields.method != kKms)
    return refuse(ErrorCode::kInvalidArgument, "The encryption method specified is not supported");
  wish.encryption.kind = EncryptionKind::kKms;
  if (fields.kms_key_id) {
    ASK(check_kms_key_name(*fields.kms_key_id));
    wish.encryption.kms_key_id = *fields.kms_key_id;
  }
  if (fields.kms_context) {
    ASK(check_kms_context(*fields.kms_context));
    wish.encryption.kms_context = *fields.kms_context;
  }
  wish.encryption.bucket_key = fields.bucket_key && http::equal_ignoring_case(*fields.bucket_key, "true");
  return wish;
}

Answer<void> check_kms_key_name(std::string_view name) {
  constexpr std::string_view kMarks = "/_+=,.@:-";
  bool well = !name.empty() && name.size() <= kKmsKeyNameBytesMax && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kMarks.contains(c);
  });
  if (!well)
    return refuse(ErrorCode::kInvalidArgument,
                  "The name of a KMS key has 1 to 256 letters, digits and characters of " + std::string(kMarks));
  return {};
}

Answer<Encryption> parse_encryption_configuration(const XmlElement& document) {
  if (document.name != "ServerSideEncryptionConfiguration") return refuse(ErrorCode::kMalformedXml);
  const XmlElement* rule = document.child("Rule");
  const XmlElement* by_default = rule ? rule->child("ApplyServerSideEncryptionByDefault") : nullptr;
  if (!by_default) return refuse(ErrorCode::kMalformedXml);
  auto is_rule = [](const XmlElement& element) { return element.name == "Rule"; };
  if (std::count_if(document.children.begin(), document.children.end(), is_rule) > 1)
    return refuse(ErrorCode::kMalformedXml, "An encryption configuration has one rule");
  if (const XmlElement* blocked = rule->child("BlockedEncryptionTypes"))
    for (const XmlElement& type : blocked->children)
      if (type.text != "NONE")
        return refuse(ErrorCode::kNotImplemented,
                      "Blocking a type of encryption is not offered here; a bucket policy "
                      "can deny it");
  Encryption encryption;
  std::string_view algorithm = by_default->text_of("SSEAlgorithm");
  const XmlElement* key = by_default->child("KMSMasterKeyID");
  if (algorithm == kAes) {
    if (key)
      return refuse(ErrorCode::kInvalidArgument,
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is "
                    "not aws:kms");
    encryption.kind = EncryptionKind::kS3;
  } else if (algorithm == kKms) {
    encryption.kind = EncryptionKind::kKms;
    if (key) {
      ASK(check_kms_key_name(key->text));
      encryption.kms_key_id = key->text;
    }
  } else if (algorithm == kDualLayer) {
    return refuse(ErrorCode::kNotImplemented, "Dual-layer encryption (aws:kms:dsse) is not offered here");
  } else {
    return refuse(ErrorCode::kMalformedXml);
  }
  encryption.bucket_key = rule->text_of("BucketKeyEnabled") == "true";
  return encryption;
}

std::string encryption_configuration(const Encryption& encryption) {
  XmlWriter xml("ServerSideEncryptionConfiguration");
  xml.open("Rule").open("ApplyServerSideEncryptionByDefault");
  xml.element("SSEAlgorithm", encryption.kind == EncryptionKind::kKms ? kKms : kAes);
  if (!encryption.kms_key_id.empty()) xml.element("KMSMasterKeyID", encryption.kms_key_id);
  xml.close().element("BucketKeyEnabled", encryption.bucket_key);
  return xml.finish();
}

HeaderList encryption_headers(const Encryption& encryption, bool with_context) {
  const std::string name(kPrefix);
  HeaderList headers;
  switch (encryption.kind) {
    case EncryptionKind::kNone:
      break;
    case EncryptionKind::kS3:
      headers.emplace_back(name, kAes);
      break;
    case EncryptionKind::kCustomer:
      headers.emplace_back(name + "-customer-algorithm", kAes);
      headers.emplace_back(name + "-customer-key-MD5", base::base64_encode(as_bytes(encryption.customer_key_md5)));
      break;
    case EncryptionKind::kKms:
      headers.emplace_back(name, kKms);
      headers.emplace_back(name + "-aws-kms-key-id", encryption.kms_key_id);
      if (with_context && !encryption.kms_context.empty())
        headers.emplace_back(name + "-context", encryption.kms_context);
      if (encryption.bucket_key) headers.emplace_back(name + "-bucket-key-enabled", "true");
      break;
  }
  return headers;
}

}  // namespace polis::object
