# Two interface targets carry every flag of our own builds:
#   otp_flags      language mode, warnings, hardening, sanitizers; linked privately by all targets of this tree
#   otp_export     what users of the library must compile with too; linked publicly, so it is in the package
include(CheckCXXCompilerFlag)
include(CheckPIESupported)

check_pie_supported(LANGUAGES CXX)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Sanitizer builds and the debugger need optimisation without lost frames; the default -O2 of RelWithDebInfo
# doubles the build time and -DNDEBUG would drop assertions.
if(OTP_SANITIZE OR OTP_ISOLATION)
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -gline-tables-only")
endif()

add_library(otp_export INTERFACE)
target_compile_features(otp_export INTERFACE cxx_std_23)

# A frame larger than the guard of a process stack could jump over it and write into the neighbour. With this
# flag every page of a large frame is touched in order, so the guard is always met. It protects only code that
# is compiled with it: hence users get it as well.
check_cxx_compiler_flag(-fstack-clash-protection OTP_HAS_STACK_CLASH_PROTECTION)
if(OTP_HAS_STACK_CLASH_PROTECTION)
  target_compile_options(otp_export INTERFACE -fstack-clash-protection)
endif()

add_library(otp_flags INTERFACE)
target_compile_options(otp_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow
  -fno-omit-frame-pointer)  # the watchdog walks frames, and sanitizer reports need them
if(OTP_WARNINGS_AS_ERRORS)
  target_compile_options(otp_flags INTERFACE -Werror)
endif()
# Nobody replaces our functions at load time; without this -fPIC would keep g++ from inlining them.
target_compile_options(otp_flags INTERFACE -fno-semantic-interposition)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms inside std::string (GCC bug 105651) and std::optional when optimised, fixed in 13.
  target_compile_options(otp_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()

if(OTP_HARDENING)
  target_compile_options(otp_flags INTERFACE -fstack-protector-strong)
  target_compile_definitions(otp_flags INTERFACE _GLIBCXX_ASSERTIONS)
  check_cxx_compiler_flag(-fcf-protection=branch OTP_HAS_CF_PROTECTION)
  if(OTP_HAS_CF_PROTECTION)
    target_compile_options(otp_flags INTERFACE -fcf-protection=branch)
  endif()
  if(NOT OTP_SANITIZE)
    # Needs optimisation (glibc warns otherwise), and hides calls from the sanitizers' interceptors.
    target_compile_options(otp_flags INTERFACE
      $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE>
      $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-D_FORTIFY_SOURCE=2>)
  endif()
  target_link_options(otp_flags INTERFACE LINKER:-z,relro LINKER:-z,now)
endif()

if(OTP_SANITIZE)
  # For the whole tree and not through otp_flags: one uninstrumented object makes the reports worthless.
  add_compile_options(-fsanitize=${OTP_SANITIZE} -fno-sanitize-recover=all -fno-optimize-sibling-calls)
  if(OTP_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID MATCHES Clang)
    # Locals of a suspended process must be on its stack, where the leak checker looks, and not on ASan's second one.
    add_compile_options(-fsanitize-address-use-after-return=never)
  endif()
  add_link_options(-fsanitize=${OTP_SANITIZE})
endif()
