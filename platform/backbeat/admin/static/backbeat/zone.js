// Tells the server the browser's zone, so that pages can show times in it, also those made before any script ran.
"use strict";
{
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `bb_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}
