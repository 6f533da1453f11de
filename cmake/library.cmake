# Sources are found by convention: every src/<room>/**/*.cpp that is not a test belongs to otp::otp, except the
# room `io`, which is otp::asio, so that who uses no sockets does not pay for them.
#
# otp_add_library(NAME SOURCES DEPENDENCIES...) also works while a room is still empty: without sources it makes
# an interface target of the same name.
function(otp_add_library name sources)
  if(sources)
    add_library(${name} ${sources})
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
list(FILTER otp_sources EXCLUDE REGEX "_test\\.cpp$")
set(otp_asio_sources ${otp_sources})
list(FILTER otp_asio_sources INCLUDE REGEX "/src/io/")
list(FILTER otp_sources EXCLUDE REGEX "/src/io/")

otp_add_library(otp "${otp_sources}" Boost::context fmt::fmt Threads::Threads)
add_library(otp::otp ALIAS otp)

otp_add_library(otp_asio "${otp_asio_sources}" otp Boost::headers)
add_library(otp::asio ALIAS otp_asio)
set_target_properties(otp_asio PROPERTIES EXPORT_NAME asio)
