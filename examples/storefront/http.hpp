// What a request and its answer are, without sockets: the words between http_connection, router and service.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace storefront {

struct request {
  std::string method;
  std::string target;
  std::string body{};
  std::optional<std::string> user{};             ///< X-User
  std::optional<std::string> idempotency_key{};  ///< Idempotency-Key
  std::optional<std::string> content_type{};
};

struct response {
  int status = 200;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string_view type = "application/json";  ///< of the body; a literal
};

/// {"error":{"code":...,"message":...}}
response error_response(int status, std::string_view code, std::string_view message);

}  // namespace storefront
