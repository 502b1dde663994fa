// Server-side encryption as clients speak of it: what headers or form fields ask for, the encryption configuration of a
// bucket. Pure. How bytes are sealed is in sealing.h, the named keys are in key_ring.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "systems/object/call.h"
#include "systems/object/sealing.h"
#include "systems/object/xml.h"

namespace polis::object {

inline constexpr size_t kKmsKeyNameBytesMax = 256;   // an ARN of Amazon's has at most 2048, usually 75
inline constexpr size_t kKmsContextBytesMax = 8192;  // Amazon KMS' limit

// As they came; nothing for an absent one.
struct EncryptionFields {
  using Field = std::optional<std::string_view>;
  Field method;                                              // x-amz-server-side-encryption
  Field kms_key_id;                                          // -aws-kms-key-id
  Field kms_context;                                         // -context
  Field bucket_key;                                          // -bucket-key-enabled
  Field customer_algorithm, customer_key, customer_key_md5;  // -customer-*

  bool any() const { return method || kms_key_id || kms_context || bucket_key || customer(); }
  bool customer() const { return customer_algorithm || customer_key || customer_key_md5; }
};
EncryptionFields encryption_fields(const Call& call);
// x-amz-copy-source-server-side-encryption-customer-*.
EncryptionFields copy_source_encryption_fields(const Call& call);

struct EncryptionWish {
  Encryption encryption;                  // of kNone: none was asked for
  std::optional<SecretKey> customer_key;  // of kCustomer
};
// kInvalidArgument and its kin for what contradicts itself or is incomplete. A kms_key_id may be empty: the default.
Answer<EncryptionWish> encryption_wish(const EncryptionFields& fields);

// Tells a person's name for a key: 1..256 of [A-Za-z0-9/_+=,.@:-], so that ARNs and aliases fit. kInvalidArgument.
Answer<void> check_kms_key_name(std::string_view name);

// The document of PutBucketEncryption, both ways.
Answer<Encryption> parse_encryption_configuration(const XmlElement& document);
std::string encryption_configuration(const Encryption& encryption);

// The headers that tell a client how something is encrypted. `with_context`: answers to writes tell it, others do not.
HeaderList encryption_headers(const Encryption& encryption, bool with_context);

}  // namespace polis::object
