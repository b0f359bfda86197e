"""Technical building blocks shared by every service; nothing here knows a service or the insurance business."""
