"""The Django project of this deployment: settings, addresses, branding."""
