# find_package(otp) gives otp::otp and otp::asio, which are always there, and otp::log where there was spdlog.
include(CMakePackageConfigHelpers)

set(otp_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/otp")
install(TARGETS otp otp_asio otp_export EXPORT otpTargets)
if(TARGET otp_log)
  install(TARGETS otp_log EXPORT otpTargets)
endif()
if(TARGET otp_held_locks)
  install(TARGETS otp_held_locks EXPORT otpTargets)
endif()
install(FILES "${PROJECT_SOURCE_DIR}/tools/gdb/otp-gdb.py" DESTINATION "${CMAKE_INSTALL_DATADIR}/otp/gdb")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/otp" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl")
install(EXPORT otpTargets NAMESPACE otp:: DESTINATION "${otp_package_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/otpConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/otpConfig.cmake" INSTALL_DESTINATION "${otp_package_dir}")
# Before 1.0 a minor version may break users, so only the same one is compatible.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/otpConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/otpConfig.cmake" "${PROJECT_BINARY_DIR}/otpConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/otp_add_diagram.cmake"
  DESTINATION "${otp_package_dir}")
