# Sources are found by convention: every src/<room>/**/*.cpp that is not a test belongs to otp::otp, except the
# rooms `io` and `log`, which are otp::asio and otp::log, so that who uses no sockets and no spdlog does not pay for
# them, and the room `debug`, whose files are targets of their own.
#
# otp_add_library(NAME SOURCES DEPENDENCIES...) also works while a room is still empty: without sources it makes
# an interface target of the same name.
function(otp_add_library name sources)
  if(sources)
    set(kind "")
    if(OTP_ISOLATION)
      set(kind SHARED)
    endif()
    add_library(${name} ${kind} ${sources})
    target_link_libraries(${name} PUBLIC otp_export ${ARGN} PRIVATE $<BUILD_INTERFACE:otp_flags>)
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
    set(scope PUBLIC)
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE otp_export ${ARGN})
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope}
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endfunction()

file(GLOB_RECURSE otp_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*.cpp")
list(FILTER otp_sources EXCLUDE REGEX "(_test|/isolation_options)\\.cpp$")
set(otp_asio_sources ${otp_sources})
list(FILTER otp_asio_sources INCLUDE REGEX "/src/io/")
list(FILTER otp_sources EXCLUDE REGEX "/src/(io|log|debug)/")

otp_add_library(otp "${otp_sources}" Boost::context fmt::fmt Threads::Threads)
add_library(otp::otp ALIAS otp)

# The isolation checker (src/runtime/isolation.hpp): a shared library without instrumentation, whose own functions it
# calls rather than the instrumented copies of its callers, and callers under ThreadSanitizer.
if(OTP_ISOLATION)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang OR OTP_SANITIZE)
    message(FATAL_ERROR "OTP_ISOLATION needs clang, and OTP_SANITIZE empty: it is a sanitizer build of its own")
  endif()
  target_compile_definitions(otp PUBLIC OTP_ISOLATION)
  target_compile_options(otp PRIVATE -include "${PROJECT_SOURCE_DIR}/src/base/isolation_counts.hpp")
  target_compile_options(otp PRIVATE -fno-optimize-sibling-calls)  # who calls libc is seen from the return address
  target_link_options(otp PRIVATE LINKER:-Bsymbolic-functions INTERFACE -fsanitize=thread)
  target_compile_options(otp INTERFACE -fsanitize=thread -fno-optimize-sibling-calls -gline-tables-only)
  target_sources(otp INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src/testing/isolation_options.cpp>")
endif()

otp_add_library(otp_asio "${otp_asio_sources}" otp Boost::headers)
add_library(otp::asio ALIAS otp_asio)
set_target_properties(otp_asio PROPERTIES EXPORT_NAME asio)

# otp::log: only where there is spdlog.
find_package(spdlog QUIET)
if(TARGET spdlog::spdlog)
  file(GLOB otp_log_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/log/*.cpp")
  list(FILTER otp_log_sources EXCLUDE REGEX "_test\\.cpp$")
  otp_add_library(otp_log "${otp_log_sources}" otp spdlog::spdlog)
  add_library(otp::log ALIAS otp_log)
  set_target_properties(otp_log PROPERTIES EXPORT_NAME log)
endif()

# otp::held_locks: linked into a debug build, it reports locks that a process holds while it waits. Never shared: it has
# to stand in front of libc's lock functions in the program itself, which the link option sees to. The sanitizers stand
# there themselves.
if(NOT OTP_SANITIZE AND NOT OTP_ISOLATION)
  add_library(otp_held_locks STATIC "${PROJECT_SOURCE_DIR}/src/debug/held_locks.cpp")
  target_link_libraries(otp_held_locks PUBLIC otp PRIVATE $<BUILD_INTERFACE:otp_flags> ${CMAKE_DL_LIBS})
  target_link_options(otp_held_locks INTERFACE "LINKER:--undefined=otp_held_locks" "LINKER:--export-dynamic")
  target_include_directories(otp_held_locks PRIVATE "${PROJECT_SOURCE_DIR}/src")
  add_library(otp::held_locks ALIAS otp_held_locks)
  set_target_properties(otp_held_locks PROPERTIES EXPORT_NAME held_locks)
endif()
