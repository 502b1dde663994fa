// Service: the S3 API over the engine. Takes a request apart, proves who asks, decides whether they may, moves bytes
// between the connection and the Blob, and runs the engine inside transactions. One Service a shard; what they share is
// Home.
//
//     handle ─► take apart ─► authenticate ─► route ─► (authorize ─► body ─► blob ─► transaction) ─► reply
//
// Handlers are grouped by file: object_handlers.cc, multipart_handlers.cc, listing_handlers.cc, bucket_handlers.cc,
// settings_handlers.cc, post_form.cc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "kernel/auth/directory.h"
#include "kernel/base/random.h"
#include "kernel/blob/blob.h"
#include "kernel/http/server.h"
#include "kernel/store/store.h"
#include "systems/object/access.h"
#include "systems/object/access_tail.h"
#include "systems/object/body.h"
#include "systems/object/call.h"
#include "systems/object/engine.h"
#include "systems/object/encryption.h"
#include "systems/object/gate.h"
#include "systems/object/key_ring.h"
#include "systems/object/lock.h"
#include "systems/object/query_api.h"
#include "systems/object/xml.h"

namespace polis::object {

struct ServiceOptions {
  std::string region = "us-east-1";
  bool any_region = true;            // accept any region in a credential scope
  std::vector<std::string> domains;  // of virtual-host style
  bool version2 = false;             // Signature Version 2
  size_t requests_max =
      1024;  // in flight on all shards; beyond it the answer is SlowDown. 1024 uploads hold 2 MiB each at most
  Duration upload_age_max = std::chrono::hours(24 * 7);  // abandoned uploads are aborted
  Duration lifecycle_day = std::chrono::hours(24);       // how long a day of lifecycle rules is
  std::optional<SecretKey> encryption_key = {};  // KeyRing::installation_key; nothing: encryption is not offered
  bool insecure_ssec = false;                    // SSE-C over plain HTTP, where anybody on the way reads the key
  // Completing an upload under SSE-C takes its key again, as Ceph wants it. Older clients (s3transfer 0.6, in Debian
  // 12's awscli and boto3) do not send it, and Amazon asks for it only beside checksums.
  bool strict_ssec = false;
};

struct ServiceStatistics {
  uint64_t requests = 0, errors_client = 0, errors_server = 0, slowed_down = 0;
  uint64_t received_bytes = 0, sent_bytes = 0;
  std::map<std::string_view, uint64_t> operations;  // by name
  // Current versions that lifecycle rules ended; noncurrent ones and delete markers they removed; versions they moved to
  // another class; uploads they aborted.
  uint64_t lifecycle_expired = 0, lifecycle_removed = 0, lifecycle_transitions = 0, lifecycle_aborted = 0;
  size_t in_flight = 0;
};

// The waterfall of one PUT, for people who want to see where its time goes.
struct PutTimes {
  std::string bucket, key, request_id;
  uint64_t size_bytes = 0;
  WallTime at{};
  Duration authenticate{}, authorize{}, bytes{}, metadata{}, total{};
};

// What a policy's conditions may ask about beyond the request itself.
struct MoreContext {
  const Tags* request_tags = nullptr;
  std::string_view copy_source = {};
  std::string_view prefix = {};  // s3:prefix, of a question that the request did not ask itself
  std::string_view acl = {};     // s3:x-amz-acl, of a form that has no such header
  const EncryptionFields* encryption = nullptr;  // s3:x-amz-server-side-encryption*, of a form
  const Retention* retention = nullptr;    // s3:object-lock-mode and its like, of a document
  std::optional<bool> legal_hold = {};     // s3:object-lock-legal-hold, of a document
};

class Service final {
 public:
  // For shard `index` of `shards`, and used on that shard alone. `random` is thread-safe. All references outlive it.
  Service(unsigned index, unsigned shards, Home& home, store::Store& store, store::Keyspace keyspace, blob::Blob& blob,
          auth::Directory& directory, const Clock& clock, Random& random, ServiceOptions options);
  ~Service();

  // One request of the S3 port. The Service outlives it.
  Task<void> handle(http::Request& request, http::Response& response);
  // The same for somebody who was proved elsewhere (not the anonymous principal): what the request says of itself in
  // signatures is not looked at, its payload counts as unsigned.
  Task<void> handle_as(auth::PrincipalPtr principal, http::Request& request, http::Response& response);

  // Background work, on the home shard: erases the parts of gone objects, aborts abandoned uploads. Ends when its scope
  // stops.
  Task<void> run_background();

  // What compaction asks; blob.set_owner(&service.references()).
  blob::Owner& references() { return references_; }

  // For the admin API.
  store::Store& store() { return store_; }
  blob::Blob& blob() { return blob_; }
  const Engine& engine() const { return engine_; }
  const KeyRing& key_ring() const { return key_ring_; }
  const ServiceStatistics& statistics() const { return statistics_; }
  const std::vector<PutTimes>& recent_puts() const { return recent_puts_; }
  const AccessTail& access_tail() const { return access_tail_; }
  // Removes all versions and uploads of a bucket, then the bucket: for a plan that listed them. Returns the versions
  // removed.
  Task<Answer<uint64_t>> empty_bucket(std::string name, bool and_remove);
  Task<Answer<void>> require_nothing_locked(std::string name);
  // Removes these keys as long as each still has the version that was listed; kOperationAborted at the first that has
  // not.
  Task<Answer<uint64_t>> remove_listed(std::string bucket_name, std::vector<ListEntry> listed, Owner owner);

 private:
  friend struct Operation;
  friend class LifecycleWorker;
  using Done = Task<Answer<void>>;
  class References final : public blob::Owner {
   public:
    explicit References(Service& service) : service_(service) {}
    Task<Result<std::vector<bool>>> referenced(std::vector<blob::BlobId> ids) override;
    Task<Result<void>> moved(blob::BlobId from, blob::BlobId to) override;

   private:
    Service& service_;
  };

  // --- request (service.cc)
  Task<void> answer(Call& call);
  void note_access(const Call& call, SteadyTime begun);
  Done serve(Call& call);
  Task<Answer<void>> authenticate(Call& call);
  // The secret and the principal of an access key; of a temporary one with its session token.
  Task<Answer<auth::AccessKeyPtr>> key_of(const Credentials& credentials);
  Task<auth::PrincipalPtr> with_account(auth::PrincipalPtr principal);
  Done dispatch(Call& call);
  Task<void> reply_failure(Call& call, const Failure& failure);
  Task<Answer<std::unique_ptr<store::Txn>>> begin();
  // The bucket of the call, after x-amz-expected-bucket-owner was held against it.
  Task<Answer<Bucket>> load_bucket(Call& call, store::Txn& txn);
  Task<Answer<Bucket>> load_bucket(Call& call);
  // The bucket that was loaded, as it is now and for a change; kNoSuchBucket if another one has its name meanwhile.
  Task<Answer<Bucket>> bucket_for_change(Write& write, const Call& call);
  Task<Answer<Bucket>> update_bucket(Write& write, const Call& call, std::function<Answer<void>(Bucket&)> change);
  // Who is not of the owner's account says that he pays, where the bucket wants that.
  Answer<void> check_payer(const Call& call, const Bucket& bucket) const;
  Answer<void> check_expected_owner(const Call& call, const Bucket& bucket, std::string_view header) const;
  Answer<const auth::Policy*> policy_of(const Bucket& bucket);
  // kAccessDenied, or kNoSuchKey if `version` is null, the action reads and the caller may list.
  Answer<bool> may(const Call& call, const Bucket& bucket, std::string_view key, std::string_view action,
                   const ObjectVersion* version = nullptr, const MoreContext& more = {});
  Answer<void> require(const Call& call, const Bucket& bucket, std::string_view key, std::string_view action,
                       const ObjectVersion* version = nullptr, const MoreContext& more = {});
  auth::Context context_of(const Call& call, std::string_view key, const ObjectVersion* version,
                           const MoreContext& more) const;
  Task<Answer<void>> require_bucket(Call& call, std::string_view action, Bucket* bucket);
  // Finds the version of a read and checks the right to it, hiding what the caller may not know of.
  Task<Answer<ObjectVersion>> find_for_read(Call& call, store::Txn& txn, const Bucket& bucket, std::string_view key,
                                            const std::optional<VersionId>& id, std::string_view action,
                                            const MoreContext& more = {});
  Task<std::string> display_name(std::string canonical_id);
  Done send_xml(Call& call, int status, std::string document);
  Done send_empty(Call& call, int status);
  Task<Answer<XmlElement>> read_xml(Call& call, size_t size_bytes_max);
  Task<Answer<std::string>> read_text(Call& call, size_t size_bytes_max,
                                      Body::Checksums checksums = Body::Checksums::kOfBody);

  // Runs a change in a transaction of its own and, once it is committed, releases what it freed.
  // `body(Write&) -> Task<Answer<T>>`.
  template <class F>
  auto change(F body) -> std::invoke_result_t<F&, Write&>;
  Task<Answer<void>> abort_abandoned(WallTime before);
  void after_commit(const std::vector<blob::Receipt>& released, bool made_garbage);

  // --- moving bytes (transfer.cc)
  struct Stored {
    uint64_t size_bytes = 0;
    std::string md5;
    Checksum checksum;
    bool inlined = false;
    std::string inlined_bytes;
    blob::Receipt blob;
    Seal seal;  // with an envelope
  };
  // Bytes durable first; the name comes last. An envelope that is not empty seals them on their way; sizes, hashes and
  // the limit of inlined bytes are the plain text's.
  Task<Answer<Stored>> store_bytes(blob::ByteSource& source, std::optional<uint64_t> size_bytes,
                                   const Envelope& envelope, blob::Scheme scheme);
  Task<Answer<Stored>> store_body(Body& body, const Envelope& envelope, blob::Scheme scheme);
  // `from` opens what is copied, `to` seals the copy.
  Task<Answer<Stored>> store_copy(ObjectVersion version, std::string inlined_bytes, blob::Range range,
                                  ChecksumAlgorithm algorithm, const Envelope& from, const Envelope& to,
                                  blob::Scheme scheme);
  // The code of a storage class as Metadata keeps it; kInvalidStorageClass if the drives do not offer it.
  Answer<blob::Scheme> scheme_for(std::string_view storage_class) const;
  void discard(const Stored& stored);
  // Fills `part` with what was stored and makes it the upload's, or gives the stored bytes back. The references must
  // live until it returns.
  Task<Answer<void>> keep_part(BucketId bucket, const std::string& key, const UploadId& id, Part& part,
                               const Stored& stored);
  // What an inlined version holds, and nothing for any other; in the transaction that found the version, because an
  // overwrite takes the bytes with it.
  Task<Answer<std::string>> inlined_bytes(store::Txn& txn, BucketId bucket, std::string_view key,
                                          const ObjectVersion& version);
  // Of the plain text: `envelope` opens what is sealed.
  Task<Answer<void>> send_range(const ObjectVersion& version, std::string_view inlined_bytes, blob::Range range,
                                const Envelope& envelope, blob::ByteSink& sink);
  // One run: a version's own bytes, or those of one part.
  struct Run {
    uint64_t size_bytes = 0;  // of the plain text
    const Seal& seal;
    bool inlined = false;
    std::string_view inlined_bytes;
    const blob::Receipt& blob;
  };
  Task<Answer<void>> send_run(const Run& run, blob::Range range, const Envelope& envelope, blob::ByteSink& sink);
  // Keeps the parts of a version while they are read; nothing for a version without parts. `asked_at`: before the version
  // was looked up. kSlowDown if that is so long ago that the version was replaced since and its parts may be going.
  Task<Answer<Home::Hold>> pin_parts(const ObjectVersion& version, WallTime asked_at);
  friend class VersionSource;

  // --- objects (object_handlers.cc)
  Done get_object(Call& call);
  Done put_object(Call& call);
  Done copy_object(Call& call);
  Done delete_object(Call& call);
  Done delete_objects(Call& call);
  Done get_object_attributes(Call& call);
  Task<Answer<Checksum>> checksum_of_part(const ObjectVersion& version, uint64_t position);
  void set_version_headers(Call& call, const ObjectVersion& version, const Bucket& bucket);
  struct AclChoice {
    Owner owner;
    Acl acl;
  };
  // Giving a new object an ACL takes s3:PutObjectAcl besides the right to write it.
  Answer<void> require_acl_right(const Call& call, const Bucket& bucket, const Owner& owner,
                                 const MoreContext& more = {});
  // Owner and ACL of something new from the request's headers and the bucket's settings.
  Task<Answer<AclChoice>> choose_acl(Call& call, const Bucket& bucket);
  // The ACL that x-amz-acl or x-amz-grant-* ask for; nothing without such headers.
  Task<Answer<std::optional<Acl>>> acl_of_headers(Call& call, const Owner& owner, const Owner& bucket_owner);
  Answer<void> refuse_unsupported_headers(const Call& call) const;

  // --- multipart (multipart_handlers.cc)
  Done create_upload(Call& call);
  Done upload_part(Call& call);
  Done upload_part_copy(Call& call);
  Done complete_upload(Call& call);
  Done abort_upload(Call& call);
  Done list_parts(Call& call);
  Task<Answer<void>> require_for_upload(Call& call, store::Txn& txn, const Bucket& bucket, const UploadId& id,
                                        std::string_view action);
  Done list_uploads(Call& call);

  // --- listings (listing_handlers.cc)
  Done list_buckets(Call& call);
  Done account_usage(Call& call);
  Done list_objects_v1(Call& call);
  Done list_objects_v2(Call& call);
  Done list_versions(Call& call);

  // --- buckets (bucket_handlers.cc)
  Done create_bucket(Call& call);
  Done delete_bucket(Call& call);
  Done head_bucket(Call& call);
  Done get_location(Call& call);
  Done get_versioning(Call& call);
  Done put_versioning(Call& call);

  // --- settings (settings_handlers.cc)
  Done get_acl(Call& call);
  Done put_acl(Call& call);
  Done get_tagging(Call& call);
  Done put_tagging(Call& call);
  Done delete_tagging(Call& call);
  Done get_policy(Call& call);
  Done put_policy(Call& call);
  Done delete_policy(Call& call);
  Done get_policy_status(Call& call);
  Done get_cors(Call& call);
  Done put_cors(Call& call);
  Done delete_cors(Call& call);
  Done preflight(Call& call);
  Task<void> add_cors_headers(Call& call);
  Done get_public_access_block(Call& call);
  Done put_public_access_block(Call& call);
  Done delete_public_access_block(Call& call);
  Done get_ownership(Call& call);
  Done put_ownership(Call& call);
  Done delete_ownership(Call& call);
  Done get_request_payment(Call& call);
  Done put_request_payment(Call& call);
  Done absent_setting(Call& call);
  Done delete_absent_setting(Call& call);
  Task<Answer<Acl>> parse_acl(const XmlElement& document, Owner* owner);
  std::string acl_document(const Owner& owner, const Acl& acl, const std::map<std::string, std::string>& names);

  // --- object lock (lock_handlers.cc)
  Done get_object_lock(Call& call);
  Done put_object_lock(Call& call);
  Done get_retention(Call& call);
  Done put_retention(Call& call);
  Done get_legal_hold(Call& call);
  Done put_legal_hold(Call& call);
  // What the request's headers ask for a new version, once the rights to it are proved.
  Answer<LockRequest> lock_of(const Call& call, const Bucket& bucket, const MoreContext& more = {});
  Answer<void> require_lock_rights(const Call& call, const Bucket& bucket, const LockRequest& request,
                                   const MoreContext& more = {});
  void set_lock_keys(auth::Context& context, const Call& call, const MoreContext& more) const;
  // The caller says that GOVERNANCE shall not stop this request, and may say so.
  Answer<bool> bypasses_governance(const Call& call, const Bucket& bucket, std::string_view key);
  Answer<void> set_lock_headers(Call& call, const ObjectVersion& version, const Bucket& bucket);

  // --- server-side encryption (encryption_handlers.cc)
  struct Protection {
    Encryption encryption;
    Envelope envelope;
  };
  // How new bytes shall lie: as the request asks, else as the bucket does.
  Task<Answer<Protection>> choose_encryption(const Call& call, const Bucket& bucket, const EncryptionFields& fields);
  // What opens, or adds to, something that stands. kInvalidRequest unless the customer's key comes exactly where it is
  // needed and is the right one.
  Task<Answer<Envelope>> envelope_of(const Call& call, BucketId bucket, const Encryption& encryption,
                                     const EncryptionFields& fields);
  Task<Answer<SecretKey>> outer_key(const Call& call, const Encryption& encryption,
                                    const std::optional<SecretKey>& customer_key);
  // Completing an upload: the customer's key need not come, but must not be another.
  Task<Answer<void>> check_completion_key(const Call& call, const Bucket& bucket, const UploadId& id);
  void set_encryption_headers(Call& call, const Encryption& encryption, bool with_context = false);
  Done get_bucket_encryption(Call& call);
  Done put_bucket_encryption(Call& call);
  Done delete_bucket_encryption(Call& call);

  // --- lifecycle (lifecycle_handlers.cc)
  Done get_lifecycle(Call& call);
  Done put_lifecycle(Call& call);
  Done delete_lifecycle(Call& call);
  Task<Answer<void>> set_lifecycle(Call& call, const std::vector<LifecycleRule>& rules);
  void set_expiration_header(Call& call, const Bucket& bucket, std::string_view key, const ObjectVersion& version);
  void set_abort_headers(Call& call, const Bucket& bucket, const Upload& upload);

  // --- renaming (rename_handlers.cc)
  Done rename_object(Call& call);
  Task<Answer<std::optional<Renamed>>> done_before(Write& write, BucketId bucket, const std::string& token,
                                                   const Renamed& asked);
  Answer<void> require_rename(const Call& call, const Bucket& bucket, std::string_view from, std::string_view to,
                              const ObjectVersion* version);

  // --- IAM and STS (iam_handlers.cc)
  bool is_query_api(const Call& call) const;
  Done query_api(Call& call);
  Task<QueryAnswer<std::string>> run_query(Call& call);
  // Whether the credentials are temporary ones.
  Task<std::expected<bool, AuthFailure>> authenticate_query(Call& call, const Bytes& body);

  // --- forms (post_form.cc)
  Done post_form(Call& call);

  Done not_implemented(Call& call);

  store::Store& store_;
  blob::Blob& blob_;
  auth::Directory& directory_;
  const Clock& clock_;
  Random& random_;
  const ServiceOptions options_;
  const Engine engine_;
  const KeyRing key_ring_;
  References references_{*this};
  SigningOptions signing_;
  SigningKeyCache signing_keys_;
  SlotPool slots_;
  const size_t requests_max_;
  Home& home_;
  ServiceStatistics statistics_;
  std::vector<PutTimes> recent_puts_;  // the last 32, oldest first
  AccessTail access_tail_;

  // Parsed bucket policies by their text: few, shared by all requests.
  std::map<std::string, auth::PolicyPtr, std::less<>> policies_;
  std::map<std::string, std::string> display_names_;
};

template <class F>
auto Service::change(F body) -> std::invoke_result_t<F&, Write&> {
  // A change whose row everybody wants loses these few tries; then it queues with the others of its kind, so that each
  // of them gets its turn, however many they are. Who queues holds no usage slot: those are for everybody.
  constexpr int kFreeTries = 4, kQueuedTries = 64;
  Home::Hold turn;
  for (int tries = kFreeTries;; tries = kQueuedTries) {
    std::optional<SlotPool::Lease> lease = CO_ASK(co_await slots_.take());
    std::vector<blob::Receipt> released;
    bool made_garbage = false, ran_to_its_end = false;
    auto attempt = [&](store::Txn& txn) -> std::invoke_result_t<F&, Write&> {
      ran_to_its_end = false;
      Write write{.txn = txn, .now = clock_.wall(), .slot = lease->slot()};
      auto answer = co_await body(write);
      released = std::move(write.released);
      made_garbage = write.made_garbage;
      ran_to_its_end = answer.has_value();
      co_return answer;
    };
    auto answer = co_await store::transact(store_, std::ref(attempt), store::Sync::kDisk, tries);
    // Not a refusal of the engine's: the commit met another one.
    const bool lost = !answer && ran_to_its_end && answer.error().code() == ErrorCode::kOperationAborted;
    if (lost && tries == kFreeTries) {
      lease.reset();
      turn = CO_ASK(co_await home_.own(Home::kContended));
      continue;
    }
    if (answer) after_commit(released, made_garbage);
    co_return answer;
  }
}

}  // namespace polis::object
