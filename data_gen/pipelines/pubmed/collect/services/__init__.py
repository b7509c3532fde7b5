"""The two services, asked politely: within the rate, patiently, and nothing believed unseen."""
