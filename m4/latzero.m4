# LZ_APPEND_FLAG(VARIABLE, FLAG): appends a compiler flag if the compiler takes it.
AC_DEFUN([LZ_APPEND_FLAG], [
	AS_VAR_PUSHDEF([cached], [lz_cv_cflag_$2])
	AC_CACHE_CHECK([whether $CC takes $2], [cached], [
		lz_saved_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS -Werror $2"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[]], [[]])], [AS_VAR_SET([cached], [yes])], [AS_VAR_SET([cached], [no])])
		CFLAGS=$lz_saved_CFLAGS
	])
	AS_VAR_IF([cached], [yes], [AS_VAR_APPEND([$1], [" $2"])])
	AS_VAR_POPDEF([cached])
])

# LZ_APPEND_LINK_FLAG(VARIABLE, FLAG): the same for the linker.
AC_DEFUN([LZ_APPEND_LINK_FLAG], [
	AS_VAR_PUSHDEF([cached], [lz_cv_ldflag_[]m4_bpatsubst([$2], [[^a-zA-Z]], [_])])
	AC_CACHE_CHECK([whether the linker takes $2], [cached], [
		lz_saved_LDFLAGS=$LDFLAGS
		LDFLAGS="$LDFLAGS $2"
		AC_LINK_IFELSE([AC_LANG_PROGRAM([[]], [[]])], [AS_VAR_SET([cached], [yes])], [AS_VAR_SET([cached], [no])])
		LDFLAGS=$lz_saved_LDFLAGS
	])
	AS_VAR_IF([cached], [yes], [AS_VAR_APPEND([$1], [" $2"])])
	AS_VAR_POPDEF([cached])
])
