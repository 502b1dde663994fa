// Server-side encryption over HTTP: which key a request means, and the encryption configuration of buckets.
#include "systems/object/service.h"

namespace polis::object {

Task<Answer<SecretKey>> Service::outer_key(const Call& call, const Encryption& encryption,
                                           const std::optional<SecretKey>& customer_key) {
  switch (encryption.kind) {
    case EncryptionKind::kNone:
      break;
    case EncryptionKind::kS3:
      co_return key_ring_.installation();
    case EncryptionKind::kCustomer:
      if (!call.request.encrypted() && !options_.insecure_ssec)
        co_return refuse(ErrorCode::kInvalidRequest,
                         "Requests specifying Server Side Encryption with Customer provided keys must be made over a "
                         "secure connection.");
      POLIS_ASSERT(customer_key.has_value());
      co_return *customer_key;
    case EncryptionKind::kKms: {
      auto txn = CO_ASK(co_await begin());
      co_return co_await key_ring_.named(*txn, encryption.kms_key_id);
    }
  }
  co_return refuse(ErrorCode::kInternalError);
}

Task<Answer<Service::Protection>> Service::choose_encryption(const Call& call, const Bucket& bucket,
                                                             const EncryptionFields& fields) {
  EncryptionWish wish = CO_ASK(encryption_wish(fields));
  Protection protection{.encryption = wish.encryption ? wish.encryption : bucket.encryption, .envelope = {}};
  Encryption& encryption = protection.encryption;
  if (!encryption) co_return protection;
  const bool by_default = encryption.kind == EncryptionKind::kKms && encryption.kms_key_id.empty();
  if (by_default) encryption.kms_key_id = kDefaultKmsKey;
  auto key = co_await outer_key(call, encryption, wish.customer_key);
  if (!key) {
    if (by_default && key.error().code() == ErrorCode::kKmsNotFound)
      co_return refuse(ErrorCode::kInvalidArgument,
                       "Server Side Encryption with KMS keys needs x-amz-server-side-encryption-aws-kms-key-id: there "
                       "is no key named " +
                           std::string(kDefaultKmsKey));
    co_return refuse(std::move(key).error());
  }
  protection.envelope = Envelope(*key, bucket.id, encryption);
  co_return protection;
}

Task<Answer<Envelope>> Service::envelope_of(const Call& call, BucketId bucket, const Encryption& encryption,
                                            const EncryptionFields& fields) {
  if (encryption.kind != EncryptionKind::kCustomer) {
    if (fields.customer())
      co_return refuse(ErrorCode::kInvalidRequest, "The encryption parameters are not applicable to this object.");
    if (!encryption) co_return Envelope();
    co_return Envelope(CO_ASK(co_await outer_key(call, encryption, std::nullopt)), bucket, encryption);
  }
  if (!fields.customer())
    co_return refuse(ErrorCode::kInvalidRequest,
                     "The object was stored using a form of Server Side Encryption. The correct parameters must be "
                     "provided to retrieve the object.");
  EncryptionFields customer = fields;
  customer.method = customer.kms_key_id = customer.kms_context = std::nullopt;
  EncryptionWish wish = CO_ASK(encryption_wish(customer));
  if (!base::constant_time_equal(as_bytes(wish.encryption.customer_key_md5), as_bytes(encryption.customer_key_md5)))
    co_return refuse(ErrorCode::kInvalidRequest,
                     "The provided encryption parameters did not match the ones used originally.");
  co_return Envelope(CO_ASK(co_await outer_key(call, encryption, wish.customer_key)), bucket, encryption);
}

Task<Answer<void>> Service::check_completion_key(const Call& call, const Bucket& bucket, const UploadId& id) {
  const EncryptionFields fields = encryption_fields(call);
  if (!fields.customer() && !options_.strict_ssec) co_return Answer<void>();
  auto txn = CO_ASK(co_await begin());
  auto upload = co_await engine_.upload(*txn, bucket.id, call.key, id);
  txn.reset();
  // A repeated Complete may still be right; the engine knows.
  if (!upload) co_return Answer<void>();
  if (upload->encryption.kind == EncryptionKind::kCustomer || fields.customer())
    CO_ASK(co_await envelope_of(call, bucket.id, upload->encryption, fields));
  co_return Answer<void>();
}

void Service::set_encryption_headers(Call& call, const Encryption& encryption, bool with_context) {
  for (const auto& [name, value] : encryption_headers(encryption, with_context)) call.response.set(name, value);
}

// --- the configuration of a bucket

Service::Done Service::get_bucket_encryption(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetEncryptionConfiguration", &bucket));
  if (!bucket.encryption)
    co_return refuse(Failure(ErrorCode::kServerSideEncryptionConfigurationNotFound).detail("BucketName", bucket.name));
  co_return co_await send_xml(call, 200, encryption_configuration(bucket.encryption));
}

Service::Done Service::put_bucket_encryption(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutEncryptionConfiguration", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  const Encryption encryption = CO_ASK(parse_encryption_configuration(document));
  // Without it every later PUT would be refused.
  CO_ASK(key_ring_.installation());
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      one.encryption = encryption;
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_bucket_encryption(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutEncryptionConfiguration", &bucket));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [](Bucket& one) -> Answer<void> {
      one.encryption = {};
      return {};
    });
  }));
  co_return co_await send_empty(call, 204);
}

}  // namespace polis::object
