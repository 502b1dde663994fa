# The AWS SDK for Ruby against a fresh polis; arguments: endpoint, access key, secret key. Raises at the first thing that does not hold.
require "aws-sdk-s3"
require "digest"
require "net/http"
require "stringio"

endpoint, access, secret = ARGV
settings = { endpoint: endpoint, access_key_id: access, secret_access_key: secret, region: "us-east-1", force_path_style: true, retry_limit: 0 }
store = Aws::S3::Client.new(settings)
resource = Aws::S3::Resource.new(client: store)

def check(holds, what)
  raise "does not hold: #{what}" unless holds
end

def fails(error)
  yield
rescue error
  nil
else
  raise "expected #{error}"
end

store.create_bucket(bucket: "docs")
check(store.list_buckets.buckets.map(&:name) == ["docs"], "the bucket is listed")
bucket = resource.bucket("docs")

random = Random.new(1)
blob = random.bytes(300_001)
put = store.put_object(bucket: "docs", key: "folder/a b+c%ü", body: blob, content_type: "text/x-test", metadata: { "colour" => "green" },
                       checksum_algorithm: "SHA256")
check(put.checksum_sha256 == Digest::SHA256.base64digest(blob), "a checksum is verified and answered")
check(put.etag == %("#{Digest::MD5.hexdigest(blob)}"), "the ETag is the MD5")
got = store.get_object(bucket: "docs", key: "folder/a b+c%ü", checksum_mode: "ENABLED")
check(got.body.read.b == blob && got.metadata == { "colour" => "green" } && got.content_type == "text/x-test", "an object reads back")
check(got.context[:http_checksum]&.fetch(:validated, nil) == "SHA256" || got.checksum_sha256 == put.checksum_sha256, "the checksum comes along")
check(store.get_object(bucket: "docs", key: "folder/a b+c%ü", range: "bytes=299990-").body.read.b == blob[299_990..], "a range")

# Over 5 MiB the SDK splits by itself; a stream is cut into parts as it comes.
large = random.bytes(12 << 20)
File.binwrite("large", large)
check(bucket.object("large").upload_file("large", multipart_threshold: 6 << 20), "a file in parts")
check(bucket.object("large").etag.end_with?('-3"'), "of which there are three")
bucket.object("large").download_file("large.down", mode: "get_range", chunk_size: 5 << 20)
check(File.binread("large.down") == large, "and comes back in ranges")
bucket.object("streamed").upload_stream(part_size: 5 << 20) { |stream| 6.times { stream << large[0, 1_000_000] } }
check(bucket.object("streamed").content_length == 6_000_000, "a stream of unknown length")
bucket.object("copied").copy_from(bucket.object("large"), multipart_copy: true, content_length: large.bytesize)
check(bucket.object("copied").get.body.read.b == large, "a copy by parts")
check(bucket.object("large").move_to("docs/moved/large").nil? || bucket.object("moved/large").exists?, "a move")

25.times { |number| store.put_object(bucket: "docs", key: format("many/%03d", number), body: number.to_s) }
check(bucket.objects(prefix: "many/").count == 25, "a listing")
pages = store.list_objects_v2(bucket: "docs", prefix: "many/", max_keys: 10)
check(pages.each_page.map(&:key_count) == [10, 10, 5], "in pages")
check(store.list_objects_v2(bucket: "docs", delimiter: "/").common_prefixes.map(&:prefix) == %w[folder/ many/ moved/], "with common prefixes")

# Conditions.
fails(Aws::S3::Errors::NotModified) { store.get_object(bucket: "docs", key: "many/001", if_none_match: store.head_object(bucket: "docs", key: "many/001").etag) }
fails(Aws::S3::Errors::PreconditionFailed) { store.get_object(bucket: "docs", key: "many/001", if_match: '"other"') }

store.put_bucket_versioning(bucket: "docs", versioning_configuration: { status: "Enabled" })
first = store.put_object(bucket: "docs", key: "v", body: "one").version_id
store.put_object(bucket: "docs", key: "v", body: "two")
store.delete_object(bucket: "docs", key: "v")
fails(Aws::S3::Errors::NoSuchKey) { store.get_object(bucket: "docs", key: "v") }
check(store.get_object(bucket: "docs", key: "v", version_id: first).body.read.b == "one", "an older version")
check(bucket.object_versions(prefix: "v").count == 3, "two versions and a marker")

store.put_object_tagging(bucket: "docs", key: "copied", tagging: { tag_set: [{ key: "team", value: "blue & green" }] })
check(store.get_object_tagging(bucket: "docs", key: "copied").tag_set.map(&:to_h) == [{ key: "team", value: "blue & green" }], "tags")

# Pre-signed: GET, PUT, and the form of a browser.
url = bucket.object("copied").presigned_url(:get, expires_in: 60)
check(Net::HTTP.get(URI(url)).b == large, "a pre-signed GET")
url = URI(bucket.object("signed").presigned_url(:put, expires_in: 60))
check(Net::HTTP.start(url.host, url.port) { |http| http.put(url, "by url", { "content-type" => "" }) }.code == "200", "a pre-signed PUT")
form = bucket.presigned_post(key: "form", content_length_range: 1..100, success_action_status: "201")
request = Net::HTTP::Post.new(URI(form.url))
request.set_form(form.fields.map { |name, value| [name, value] } + [["file", StringIO.new("by form"), { filename: "f" }]], "multipart/form-data")
check(Net::HTTP.start(URI(form.url).host, URI(form.url).port) { |http| http.request(request) }.code == "201", "a form")
check(bucket.object("form").get.body.read.b == "by form" && bucket.object("signed").get.body.read.b == "by url", "what was sent so is there")

bucket.object("never").wait_until_exists(max_attempts: 1, delay: 0) rescue check($!.is_a?(Aws::Waiters::Errors::TooManyAttemptsError), "a waiter waits")
fails(Aws::S3::Errors::NoSuchBucket) { store.list_objects_v2(bucket: "absent") }
fails(Aws::S3::Errors::BucketNotEmpty) { store.delete_bucket(bucket: "docs") }
fails(Aws::S3::Errors::SignatureDoesNotMatch) { Aws::S3::Client.new(settings.merge(secret_access_key: "wrong")).list_buckets }
bucket.object_versions.batch_delete!
bucket.delete!
check(store.list_buckets.buckets.empty?, "the bucket is gone")
