// The shop's database file: made and filled on the first start, opened by every connection.
#pragma once
#include "sqlite.hpp"

#include <stdexcept>
#include <string>

namespace storefront {

/// The folder or the file cannot be used; the text says which, why, and what would help.
class unusable_store : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Makes folder, file, tables and catalogue where they are missing, checks that all of it can be written, and returns
/// the path of the file. Errors: unusable_store.
std::string prepare_store(const std::string& folder);

/// A connection, set up as all of them are. Blocks.
sqlite::database open_store(const std::string& file);

}  // namespace storefront
