// The engine against a naive model: random changes of a few keys under versioning, object lock, renames, uploads and
// compaction, one after another and two at once. After each the versions, the listings and the counted usage are the
// model's, and every row that holds or names bytes is one that a version or an upload needs: no name without bytes, no
// bytes without a name.
#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <variant>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/test_store.h"

namespace polis::object {
namespace {

const Owner kWriter{"111111111111", "aaaa"};
constexpr std::string_view kKeys[] = {"a", "a/b", "a/b/c", "a/c", "b", "b/\x01", "c"};

struct ModelVersion {
  Sequence sequence = 0;  // 0: not known yet
  bool null = false, marker = false;
  std::string etag, tag;
  uint64_t size_bytes = 0;
  bool hold = false;
  // What a client sees, but for the id.
  auto seen() const { return std::tie(null, marker, etag, tag, size_bytes, hold); }
};
using Versions = std::deque<ModelVersion>;  // newest first

struct ModelUpload {
  std::string key;
  std::map<uint32_t, std::string> parts;  // etags
};

struct Model {
  Versioning versioning = Versioning::kUnversioned;
  std::map<std::string, Versions> keys;
  std::map<UploadId, ModelUpload> uploads;

  // False: refused, nothing changed.
  bool install(const std::string& key, ModelVersion version) {
    version.null = versioning != Versioning::kEnabled;
    Versions& versions = keys[key];
    if (version.null) {
      auto null = std::ranges::find_if(versions, [](const ModelVersion& one) { return one.null; });
      if (null != versions.end() && null->hold) return false;
      if (null != versions.end()) versions.erase(null);
    }
    versions.push_front(std::move(version));
    return true;
  }
  const ModelVersion* current(const std::string& key) const {
    auto found = keys.find(key);
    if (found == keys.end() || found->second.empty() || found->second.front().marker) return nullptr;
    return &found->second.front();
  }
  ModelVersion* find(const std::string& key, const VersionId& id) {
    for (ModelVersion& version : keys[key])
      if (id.null_version ? version.null : version.sequence == id.sequence && !version.null) return &version;
    return nullptr;
  }
  // What clients see, without the ids; keys without versions are none.
  std::map<std::string, Versions> view() const {
    std::map<std::string, Versions> out;
    for (const auto& [key, versions] : keys)
      if (!versions.empty()) out[key] = versions;
    return out;
  }
};

std::string describe(const Model& model) {
  std::string out;
  for (const auto& [key, versions] : model.view()) {
    out += base::url_encode(key) + ":";
    for (const ModelVersion& one : versions)
      out += " " + (one.marker ? "marker" : one.etag.substr(0, 6)) + (one.null ? "(null)" : "") +
             (one.hold ? "!" : "") + (one.tag.empty() ? "" : "#" + one.tag);
    out += "; ";
  }
  return out + std::to_string(model.uploads.size()) + " uploads";
}

// --- commands: what to do to the engine, and what it means in the model

struct Put {
  std::string key, bytes;  // inlined, or the name of a blob
  bool inlined = false, hold = false, if_none = false;
  std::vector<std::string> segments = {};
};
struct Remove {
  std::string key;
};
struct RemoveVersion {
  std::string key;
  VersionId id;
};
struct Tag {
  std::string key;
  VersionId id;
  std::string tag;
  std::optional<bool> hold;  // set in place of the tag
};
struct Complete {
  UploadId upload;
  std::string key;
  std::map<uint32_t, std::string> parts;  // those that are named
  uint64_t size_bytes = 0;
};
struct PutPart {
  UploadId upload;
  std::string key;
  uint32_t number = 0;
  std::string bytes;
};
struct Abort {
  UploadId upload;
  std::string key;
};
struct Rename {
  std::string from, to;
};
struct SetVersioning {
  Versioning state = Versioning::kEnabled;
};
struct Move {  // by compaction: nothing that a client sees
  blob::BlobId from, to;
};
using Command = std::variant<Put, Remove, RemoveVersion, Tag, Complete, PutPart, Abort, Rename, SetVersioning, Move>;

UploadId upload_of(const Command& command) {
  if (auto* complete = std::get_if<Complete>(&command)) return complete->upload;
  if (auto* part = std::get_if<PutPart>(&command)) return part->upload;
  if (auto* abort = std::get_if<Abort>(&command)) return abort->upload;
  return {};
}

std::string etag_of(std::string_view bytes) {
  return base::hex_encode(base::md5(bytes));
}

void apply(Model& model, const Command& command) {
  if (auto* put = std::get_if<Put>(&command)) {
    if (put->if_none && model.current(put->key)) return;
    model.install(put->key, {.etag = etag_of(put->bytes),
                             .tag = "",
                             .size_bytes = put->bytes.size(),
                             .hold = put->hold && model.versioning == Versioning::kEnabled});
  } else if (auto* remove = std::get_if<Remove>(&command)) {
    Versions& versions = model.keys[remove->key];
    if (model.versioning != Versioning::kUnversioned) {
      model.install(remove->key, {.marker = true, .etag = {}, .tag = {}});
    } else if (!versions.empty() && !versions.front().hold) {
      versions.pop_front();
    }
  } else if (auto* one = std::get_if<RemoveVersion>(&command)) {
    ModelVersion* found = model.find(one->key, one->id);
    if (!found || found->hold) return;
    Versions& versions = model.keys[one->key];
    versions.erase(std::ranges::find_if(versions, [&](const ModelVersion& version) { return &version == found; }));
  } else if (auto* tag = std::get_if<Tag>(&command)) {
    ModelVersion* found = model.find(tag->key, tag->id);
    if (!found || found->marker) return;
    if (tag->hold)
      found->hold = *tag->hold;
    else
      found->tag = tag->tag;
  } else if (auto* complete = std::get_if<Complete>(&command)) {
    auto upload = model.uploads.find(complete->upload);
    if (upload == model.uploads.end()) return;
    std::vector<std::string> md5s;
    for (const auto& [number, etag] : complete->parts) {
      auto part = upload->second.parts.find(number);
      if (part == upload->second.parts.end() || part->second != etag) return;
      Bytes raw = base::hex_decode(etag).value();
      md5s.emplace_back(as_text(raw));
    }
    if (model.install(complete->key, {.etag = multipart_etag(md5s), .tag = "", .size_bytes = complete->size_bytes}))
      model.uploads.erase(upload);
  } else if (auto* part = std::get_if<PutPart>(&command)) {
    auto upload = model.uploads.find(part->upload);
    if (upload != model.uploads.end()) upload->second.parts[part->number] = etag_of(part->bytes);
  } else if (auto* abort = std::get_if<Abort>(&command)) {
    model.uploads.erase(abort->upload);
  } else if (auto* rename = std::get_if<Rename>(&command)) {
    const ModelVersion* current = model.current(rename->from);
    if (!current || current->hold || rename->from == rename->to) return;
    Model after = model;
    ModelVersion moved = *current;
    moved.sequence = 0;
    if (!after.install(rename->to, moved)) return;
    after.keys[rename->from].pop_front();
    // What was hidden behind it stays hidden.
    if (after.current(rename->from) && !after.install(rename->from, {.marker = true, .etag = {}, .tag = {}})) return;
    model = std::move(after);
  } else if (auto* versioning = std::get_if<SetVersioning>(&command)) {
    model.versioning = versioning->state;
  }
}

// --- the same through the engine

blob::Receipt receipt_of(const std::vector<std::string>& segments, uint64_t size_bytes) {
  blob::Receipt receipt{.location = {}, .size_bytes = size_bytes};
  for (const std::string& id : segments) receipt.location += static_cast<char>(id.size()) + id;
  return receipt;
}

class Lab {
 public:
  Lab(TestStore& store, uint64_t seed) : store_(store), engine_(store.engine()), random_(seed) {}

  Task<void> prepare() {
    bucket_.name = "model";
    bucket_.owner = kWriter;
    bucket_ = (co_await store_.change([&](Write& write) { return engine_.create_bucket(write, bucket_); })).value();
  }

  // The bucket as it is, in the transaction of the change: as the service does.
  Task<Answer<bool>> run(Write& write, const Command& command) {
    Bucket bucket = CO_ASK(co_await engine_.bucket_for_change(write.txn, bucket_.name));
    if (auto* put = std::get_if<Put>(&command)) {
      PutVersion version{.key = put->key, .version = {}, .inlined_bytes = {}, .conditions = {}};
      version.version.owner = kWriter;
      version.version.size_bytes = put->bytes.size();
      version.version.etag = etag_of(put->bytes);
      version.version.legal_hold = put->hold && bucket.versioning == Versioning::kEnabled;
      version.version.inlined = put->inlined;
      if (put->inlined)
        version.inlined_bytes = put->bytes;
      else
        version.version.blob = receipt_of(put->segments, put->bytes.size());
      if (put->if_none) version.conditions.if_none_match = "*";
      CO_ASK(co_await engine_.put(write, bucket, version));
    } else if (auto* remove = std::get_if<Remove>(&command)) {
      CO_ASK(co_await engine_.remove(write, bucket,
                                     {.key = remove->key, .version = {}, .conditions = {}, .owner = kWriter}));
    } else if (auto* one = std::get_if<RemoveVersion>(&command)) {
      CO_ASK(co_await engine_.remove(write, bucket,
                                     {.key = one->key, .version = one->id, .conditions = {}, .owner = kWriter}));
    } else if (auto* tag = std::get_if<Tag>(&command)) {
      auto change = [tag](ObjectVersion& version) -> Answer<void> {
        if (version.delete_marker) return refuse(ErrorCode::kMethodNotAllowed);
        if (tag->hold)
          version.legal_hold = *tag->hold;
        else
          version.tags = {{"t", tag->tag}};
        return {};
      };
      CO_ASK(co_await engine_.update_version(write, bucket.id, tag->key, tag->id, change));
    } else if (auto* complete = std::get_if<Complete>(&command)) {
      CompleteUpload completed{.key = complete->key,
                               .upload = complete->upload,
                               .parts = {},
                               .conditions = {},
                               .checksum = {},
                               .checksum_type = {},
                               .size_bytes = {}};
      for (const auto& [number, etag] : complete->parts) completed.parts.push_back({number, etag, {}});
      CO_ASK(co_await engine_.complete(write, bucket, completed));
    } else if (auto* part = std::get_if<PutPart>(&command)) {
      CO_ASK(co_await engine_.put_part(write, bucket.id, part->key, part->upload, part_of(*part)));
    } else if (auto* abort = std::get_if<Abort>(&command)) {
      CO_ASK(co_await engine_.abort(write, bucket.id, abort->key, abort->upload));
    } else if (auto* rename = std::get_if<Rename>(&command)) {
      CO_ASK(co_await engine_.rename(
          write, bucket, {.from = rename->from, .to = rename->to, .from_conditions = {}, .to_conditions = {}},
          kWriter));
    } else if (auto* versioning = std::get_if<SetVersioning>(&command)) {
      auto change = [versioning](Bucket& changed) -> Answer<void> {
        changed.versioning = versioning->state;
        return {};
      };
      CO_ASK(co_await engine_.update_bucket(write, bucket.name, change));
    } else if (auto* move = std::get_if<Move>(&command)) {
      CO_ASK(co_await engine_.moved(write, move->from, move->to));
    }
    co_return true;
  }

  Command random_command(Model& model) {
    auto pick = [&](size_t count) { return static_cast<size_t>(random_.below(count)); };
    auto key = [&] { return std::string(kKeys[pick(std::size(kKeys))]); };
    const std::string bytes = "bytes " + std::to_string(++serial_);
    switch (pick(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        Put put{.key = key(), .bytes = bytes, .inlined = pick(2) == 0, .hold = pick(6) == 0, .if_none = pick(5) == 0};
        for (size_t i = 0; !put.inlined && i <= pick(3); ++i) put.segments.push_back(new_blob());
        return put;
      }
      case 4:
        return Remove{key()};
      case 5:
      case 6:
      case 7:
      case 8: {
        std::string one = key();
        const Versions& versions = model.keys[one];
        VersionId id{.null_version = true};
        if (!versions.empty() && pick(8) != 0) {
          const ModelVersion& version = versions[pick(versions.size())];
          id = {.null_version = version.null, .sequence = version.null ? 0 : version.sequence};
        }
        if (pick(2) == 0) return RemoveVersion{one, id};
        Tag tag{.key = one, .id = id, .tag = std::to_string(serial_), .hold = {}};
        if (pick(2) == 0) tag.hold = pick(4) == 0;
        return tag;
      }
      case 9:
      case 10: {
        if (model.uploads.empty()) return Remove{key()};
        auto upload = std::next(model.uploads.begin(), static_cast<ptrdiff_t>(pick(model.uploads.size())));
        if (upload->second.parts.empty() || pick(4) == 0) return Abort{upload->first, upload->second.key};
        Complete complete{.upload = upload->first, .key = upload->second.key, .parts = upload->second.parts};
        while (complete.parts.size() > 1 && pick(2) == 0)
          complete.parts.erase(std::next(complete.parts.begin(), static_cast<ptrdiff_t>(pick(complete.parts.size()))));
        for (auto part = complete.parts.begin(); part != complete.parts.end(); ++part)
          complete.size_bytes += kPartBytesMin;
        return complete;
      }
      case 11: {
        if (model.uploads.empty()) return Remove{key()};
        auto upload = std::next(model.uploads.begin(), static_cast<ptrdiff_t>(pick(model.uploads.size())));
        return PutPart{upload->first, upload->second.key, static_cast<uint32_t>(1 + pick(4)), bytes};
      }
      case 12:
      case 13:
        return Rename{key(), key()};
      case 14:
        // Back to unversioned there is no way.
        if (model.versioning == Versioning::kUnversioned && pick(4) != 0) return Remove{key()};
        return SetVersioning{pick(3) == 0 ? Versioning::kSuspended : Versioning::kEnabled};
      default: {
        if (references_.empty()) return Remove{key()};
        return Move{*std::next(references_.begin(), static_cast<ptrdiff_t>(pick(references_.size()))), new_blob()};
      }
    }
  }

  Task<void> begin_upload(Model& model) {
    Upload upload;
    upload.id = UploadId(16, '\0');
    random_.fill(as_writable_bytes(upload.id));
    upload.key = std::string(kKeys[random_.below(std::size(kKeys))]);
    upload.owner = upload.initiator = kWriter;
    (void)co_await store_.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine_.create_upload(write, bucket_, upload));
      co_return true;
    });
    ModelUpload& known = model.uploads[upload.id];
    known.key = upload.key;
    for (uint32_t number = 1; number <= 1 + random_.below(3); ++number) {
      const Command part = PutPart{upload.id, upload.key, number, "part " + std::to_string(++serial_)};
      (void)co_await store_.change([&](Write& write) { return run(write, part); });
      known.parts[number] = etag_of(std::get<PutPart>(part).bytes);
    }
  }

  // Compares everything; the model learns the sequences that the engine chose, and what is referred to.
  Task<void> compare(Model& model, const std::string& after) {
    SCOPED_TRACE(after + "\nmodel: " + describe(model));
    auto txn = (co_await store_.store().begin()).value();
    Usage sum;
    std::set<UploadId> uploads;
    std::map<std::string, size_t> inlined_rows;
    std::set<blob::BlobId> named;

    std::map<std::string, Versions> found;
    VersionListQuery query{
        .prefix = {}, .delimiter = {}, .key_after = {}, .version_after = {}, .limit = 1 + random_.below(5)};
    for (;;) {
      VersionListing page = (co_await engine_.list_versions(*txn, bucket_.id, query)).value();
      for (const VersionListEntry& entry : page.entries) {
        const ObjectVersion& version = entry.version;
        EXPECT_EQ(entry.latest, found[entry.key].empty());
        EXPECT_TRUE(found[entry.key].empty() || found[entry.key].back().sequence > version.sequence);
        found[entry.key].push_back({.sequence = version.sequence,
                                    .null = version.null_version,
                                    .marker = version.delete_marker,
                                    .etag = version.etag,
                                    .tag = version.tags.empty() ? "" : version.tags.front().second,
                                    .size_bytes = version.size_bytes,
                                    .hold = version.legal_hold});
        sum.count(version, 1);
        if (entry.latest && !version.delete_marker) ++sum.objects;
        if (version.inlined) {
          ++inlined_rows[inline_key(bucket_.id, entry.key, version.sequence)];
          auto bytes = co_await engine_.inlined_bytes(*txn, bucket_.id, entry.key, version.sequence);
          EXPECT_TRUE(bytes && etag_of(*bytes) == version.etag);
        }
        for (const blob::BlobId& id : blob::segments(version.blob)) EXPECT_TRUE(named.insert(id).second);
        if (!version.upload.empty()) EXPECT_TRUE(uploads.insert(version.upload).second);
        const VersionId id{.null_version = version.null_version,
                           .sequence = version.null_version ? 0 : version.sequence};
        auto read = co_await engine_.version(*txn, bucket_.id, entry.key, id);
        EXPECT_TRUE(read && read->sequence == version.sequence) << "a listed version is not found by its id";
      }
      if (!page.truncated) break;
      EXPECT_EQ(page.entries.size(), query.limit);
      query.key_after = page.last_key;
      query.version_after = VersionId::parse(page.last_version_id).value();
    }
    auto expected = model.view();
    EXPECT_EQ(found.size(), expected.size());
    for (auto& [key, versions] : found) {
      Versions& known = model.keys[key];
      EXPECT_TRUE(
          std::ranges::equal(versions, known, [](const auto& a, const auto& b) { return a.seen() == b.seen(); }))
          << "the versions of " << base::url_encode(key) << " are others";
      for (size_t i = 0; i < std::min(known.size(), versions.size()); ++i) {
        EXPECT_TRUE(known[i].sequence == 0 || known[i].sequence == versions[i].sequence);
        known[i].sequence = versions[i].sequence;
      }
    }
    std::vector<std::string> listed, current;
    ListQuery keys{.prefix = {}, .delimiter = {}, .after = {}, .limit = 1 + random_.below(3)};
    for (bool more = true; more;) {
      Listing page = (co_await engine_.list(*txn, bucket_.id, keys)).value();
      for (const ListEntry& entry : page.entries) listed.push_back(entry.key);
      more = page.truncated;
      keys.after = page.last;
    }
    for (const auto& [key, versions] : expected)
      if (model.current(key)) current.push_back(key);
    EXPECT_EQ(listed, current);
    EXPECT_EQ((co_await engine_.usage(*txn, bucket_.id)).value(), sum) << "what is counted is not what is there";

    for (const auto& [id, upload] : model.uploads) {
      uploads.insert(id);
      EXPECT_TRUE((co_await engine_.upload(*txn, bucket_.id, upload.key, id)).has_value());
    }
    EXPECT_EQ((co_await engine_.list_uploads(*txn, bucket_.id, {})).value().uploads.size(), model.uploads.size());
    std::set<UploadId> garbage;
    for (const UploadId& id : (co_await engine_.garbage(*txn, 1000)).value()) {
      EXPECT_FALSE(uploads.contains(id)) << "parts that somebody needs are garbage";
      garbage.insert(id);
    }
    for (const store::Row& row : co_await rows(*txn, "p")) {
      UploadId id = row.key.substr(1, 16);
      EXPECT_TRUE(uploads.contains(id) || garbage.contains(id)) << "a part that nobody needs";
      Part part = decode_part(row.value).value();
      for (const blob::BlobId& one : blob::segments(part.blob)) EXPECT_TRUE(named.insert(one).second);
    }
    std::set<blob::BlobId> referred;
    for (const store::Row& row : co_await rows(*txn, "x")) referred.insert(row.key.substr(1));
    EXPECT_EQ(referred, named) << "back references are not the blobs that rows name";
    EXPECT_EQ((co_await rows(*txn, "i")).size(), inlined_rows.size()) << "inlined bytes without a version";
    references_ = std::move(named);
  }

  // The latest of these moments that clients would see like what is there.
  Task<std::optional<size_t>> find(const std::vector<Model>& moments) {
    auto txn = (co_await store_.store().begin()).value();
    VersionListing all = (co_await engine_.list_versions(*txn, bucket_.id, {})).value();
    std::map<std::string, std::vector<std::pair<Sequence, std::string>>> there;
    for (const VersionListEntry& entry : all.entries)
      there[entry.key].emplace_back(entry.version.sequence,
                                    (entry.version.tags.empty() ? "" : entry.version.tags.front().second) +
                                        (entry.version.legal_hold ? "!" : ""));
    const Versioning versioning = (co_await engine_.bucket(*txn, bucket_.name)).value().versioning;
    for (size_t i = moments.size(); i-- > 0;) {
      std::map<std::string, std::vector<std::pair<Sequence, std::string>>> expected;
      for (const auto& [key, versions] : moments[i].view())
        for (const ModelVersion& one : versions)
          expected[key].emplace_back(one.sequence, one.tag + (one.hold ? "!" : ""));
      if (expected == there && versioning == moments[i].versioning) co_return i;
    }
    co_return std::nullopt;
  }

  Task<void> reap() {
    auto txn = (co_await store_.store().begin()).value();
    auto ids = (co_await engine_.garbage(*txn, 1000)).value();
    txn.reset();
    for (const UploadId& id : ids)
      while (!(co_await store_.change([&](Write& write) { return engine_.reap(write, id, 1); })).value()) {
      }
  }

  base::SeededRandom& random() { return random_; }

 private:
  std::string new_blob() {
    std::string id(8, '\0');
    random_.fill(as_writable_bytes(id));
    return id;
  }
  Part part_of(const PutPart& put) {
    Part part;
    part.number = put.number;
    part.size_bytes = kPartBytesMin;
    auto md5 = base::md5(put.bytes);
    part.md5 = std::string(as_text(md5));
    part.blob = receipt_of({etag_of(put.bytes)}, kPartBytesMin);  // the same at each try
    return part;
  }
  Task<std::vector<store::Row>> rows(store::Txn& txn, std::string prefix) {
    auto scan = (co_await txn.scan(store_.keyspace(), store::prefix_range(prefix),
                                   {.limit = 100'000, .bytes_limit = 16u << 20}))
                    .value();
    EXPECT_FALSE(scan.more);
    co_return std::move(scan.rows);
  }

  TestStore& store_;
  const Engine engine_;
  base::SeededRandom random_;
  Bucket bucket_;
  uint64_t serial_ = 0;
  std::set<blob::BlobId> references_;
};

// The seeds of a run: POLIS_SEEDS of them, as in the other tests of this kind.
uint64_t seeds() {
  const char* text = std::getenv("POLIS_SEEDS");
  return std::max<uint64_t>(1, (text ? std::strtoull(text, nullptr, 10) : 100) / 10);
}

TEST(EngineModel, random_changes_leave_what_a_naive_model_says_and_no_row_too_many) {
  for (uint64_t seed = 1; seed <= seeds() && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    with_store([seed](TestStore& store) -> Task<void> {
      Lab lab(store, seed);
      co_await lab.prepare();
      Model model;
      for (size_t step = 0; step < 250 && !testing::Test::HasFailure(); ++step) {
        if (lab.random().below(12) == 0 && model.uploads.size() < 3) co_await lab.begin_upload(model);
        const Command command = lab.random_command(model);
        auto outcome = co_await store.change([&](Write& write) { return lab.run(write, command); });
        apply(model, command);
        if (lab.random().below(10) == 0) co_await lab.reap();
        co_await lab.compare(model, "step " + std::to_string(step) + ", command " + std::to_string(command.index()) +
                                        (outcome ? "" : ", refused: " + outcome.error().message()));
      }
    });
  }
}

TEST(EngineModel, a_power_cut_leaves_a_moment_not_before_the_last_synced_change_and_all_of_it) {
  size_t lost = 0;
  for (uint64_t seed = 1; seed <= seeds() && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto crashing = [seed, &lost](TestStore& store) -> Task<void> {
      Lab lab(store, seed + 2'000'000);
      store.sync(store::Sync::kDisk);
      co_await lab.prepare();
      std::vector<Model> moments(1);
      for (size_t step = 0; step < 120 && !testing::Test::HasFailure(); ++step) {
        Model model = moments.back();
        const bool durable = lab.random().below(4) == 0;
        store.sync(durable ? store::Sync::kDisk : store::Sync::kOs);
        const Command command = lab.random_command(model);
        auto outcome = co_await store.change([&](Write& write) { return lab.run(write, command); });
        apply(model, command);
        co_await lab.compare(model, "step " + std::to_string(step));
        if (durable && outcome) moments.clear();  // nothing before it may come back
        moments.push_back(std::move(model));
        if (lab.random().below(8) != 0) continue;
        co_await store.crash();
        auto found = co_await lab.find(moments);
        EXPECT_TRUE(found.has_value()) << "after a power cut at step " << step
                                       << " the rows are of no moment that may be";
        if (!found) co_return;
        lost += moments.size() - 1 - *found;
        moments = {moments[*found]};
        co_await lab.compare(moments.front(), "after a power cut at step " + std::to_string(step));
      }
    };
    with_store(crashing, std::make_shared<store::DiskFaults>());
  }
  EXPECT_GT(lost, 0u) << "no power cut took anything: it tests nothing";
}

TEST(EngineModel, two_changes_at_once_leave_what_one_after_the_other_would) {
  size_t conflicts = 0, both = 0;
  for (uint64_t seed = 1; seed <= seeds() && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    with_store([&, seed](TestStore& store) -> Task<void> {
      Lab lab(store, seed + 1'000'000);
      co_await lab.prepare();
      Model model;
      for (size_t step = 0; step < 150 && !testing::Test::HasFailure(); ++step) {
        if (lab.random().below(8) == 0 && model.uploads.size() < 3) co_await lab.begin_upload(model);
        const Command first = lab.random_command(model), second = lab.random_command(model);
        // The service's gates keep these apart.
        if (!upload_of(first).empty() && upload_of(first) == upload_of(second)) continue;
        // The first has done all but its commit when the second comes and goes.
        auto txn = (co_await store.store().begin()).value();
        Write write{.txn = *txn, .now = store.now(), .slot = 5, .released = {}, .made_garbage = false};
        auto outcome = co_await lab.run(write, first);
        (void)co_await store.change([&](Write& other) { return lab.run(other, second); });
        bool lost = false;
        if (outcome) lost = !(co_await txn->commit(store::Sync::kOs));
        txn.reset();
        Model one_two = model, two_one = model;
        apply(one_two, first), apply(one_two, second);
        apply(two_one, second), apply(two_one, first);
        if (lost) {
          ++conflicts;
          (void)co_await store.change([&](Write& again) { return lab.run(again, first); });
        }
        both += !lost && outcome;
        // Refused, the first was so before the second came. Committed, it may not have missed what the second did.
        model = outcome ? std::move(two_one) : std::move(one_two);
        co_await lab.compare(model, "step " + std::to_string(step) + ", commands " + std::to_string(first.index()) +
                                        " and " + std::to_string(second.index()) + (lost ? ", in conflict" : ""));
      }
    });
  }
  EXPECT_GT(conflicts, 0u);
  EXPECT_GT(both, 0u);
}

}  // namespace
}  // namespace polis::object
