#include <mica/core/error.h>
#include <mica/data/download.h>

#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <memory>

namespace mica {

std::string download(const std::string& url) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  if (global != CURLE_OK || !curl) throw FileError(fmt::format("cannot download {}: libcurl does not start", url));
  std::string body;
  const auto append = +[](char* bytes, std::size_t size, std::size_t count, void* to) -> std::size_t {
    static_cast<std::string*>(to)->append(bytes, size * count);
    return size * count;
  };
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 5L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1000L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, 15L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode status = curl_easy_perform(curl.get());
  if (status != CURLE_OK) throw FileError(fmt::format("cannot download {}: {}", url, curl_easy_strerror(status)));
  return body;
}

std::string sha256(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) != 1)
    throw Error("sha256: OpenSSL refuses");
  std::string hex;
  for (unsigned i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace mica
